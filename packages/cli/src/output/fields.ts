import { hex } from '@iommukit/bits';

export type JsonFields = Readonly<Record<string, number | string>>;

/** Decoded fields for JSON: a flag is 0 or 1 as in the manual, an address or wide number a `0x…` string. */
export function jsonFields(fields: Readonly<Record<string, boolean | number | bigint | string>>): JsonFields {
  const out: Record<string, number | string> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'bigint') out[name] = hex(value);
    else out[name] = typeof value === 'boolean' ? Number(value) : value;
  }
  return out;
}

/** Fields for people: flags by name when set, the rest when not zero, encodings by their mnemonic. */
export function fieldText(
  fields: Readonly<Record<string, boolean | number | bigint | string>>,
  labels: Readonly<Record<string, string>> = {},
): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value === true) parts.push(name);
    else if (value !== 0 && labels[name] !== undefined) parts.push(`${name}=${labels[name]}`);
    else if (typeof value === 'bigint' && value !== 0n) parts.push(`${name}=${hex(value)}`);
    else if (typeof value === 'number' && value !== 0) parts.push(`${name}=${value}`);
    else if (typeof value === 'string' && value !== '0x0') parts.push(`${name}=${value}`);
  }
  return parts.join(' ');
}
