import { hexToBytes } from '@iommukit/bits';

/** Bytes in memory order. Throws SyntaxError that names the offset of the first character that is not hex. */
export function parseHex(text: string): Uint8Array {
  const digits = text.replace(/^0x/i, '');
  const bad = digits.search(/[^0-9a-f\s]/i);
  if (bad >= 0) throw new SyntaxError(`not hex at offset ${bad + text.length - digits.length}: '${clip(text)}'`);
  const bytes = digits.replaceAll(/\s/g, '');
  if (bytes.length % 2 !== 0) throw new SyntaxError(`odd number of hex digits (${bytes.length}): '${clip(text)}'`);
  return hexToBytes(bytes);
}

const clip = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);
