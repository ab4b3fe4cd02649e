/** A non-negative integer as decimal digits or `0x…`; null for anything else. */
export function parseInteger(text: string): bigint | null {
  return /^(?:0x[0-9a-f]+|[0-9]+)$/i.test(text) ? BigInt(text) : null;
}

/** An integer in `[min, max]`, written as text or as a JSON number. Throws RangeError that says what was expected. */
export function integerIn(value: unknown, what: string, min: bigint, max: bigint): bigint {
  const number = typeof value === 'string' ? parseInteger(value) : fromNumber(value);
  if (number === null) throw new RangeError(`${what} ${shown(value)} is not a number (decimal or 0x…)`);
  if (number < min || number > max)
    throw new RangeError(`${what} ${shown(value)} is not in ${bound(min)} … ${bound(max)}`);
  return number;
}

export const MAX_ADDRESS = (1n << 64n) - 1n;
export const MAX_PASID = (1n << 20n) - 1n;
export const MAX_ID = (1n << 32n) - 1n;

export const parseAddress = (value: unknown): bigint => integerIn(value, 'address', 0n, MAX_ADDRESS);
export const parsePasid = (value: unknown): number => Number(integerIn(value, 'PASID', 0n, MAX_PASID));

const LONGEST_SHOWN = 60;

/** A value for a message, on one line and not longer than a person reads. */
export function shown(value: unknown): string {
  const text = value === undefined ? '(absent)' : JSON.stringify(value);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

function fromNumber(value: unknown): bigint | null {
  return Number.isSafeInteger(value) ? BigInt(value as number) : null;
}

const bound = (value: bigint): string => (value < 0x10000n ? `${value}` : `0x${value.toString(16)}`);
