/** Bytes in memory order as lower-case hex without separators. */
export function bytesToHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Hex in memory order (white space and a leading `0x` allowed) as bytes. Throws SyntaxError when it is not hex. */
export function hexToBytes(hex: string): Uint8Array {
  const digits = hex.replace(/\s+/g, '').replace(/^0x/i, '');
  if (digits.length % 2 !== 0) throw new SyntaxError(`odd number of hex digits in '${hex}'`);
  if (!/^[0-9a-f]*$/i.test(digits)) throw new SyntaxError(`'${hex}' is not hex`);
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

/** Bytes in memory order as little-endian 32-bit words; a short tail is padded with zeros. */
export function bytesToWords(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  bytes.forEach((byte, i) => {
    words[i >> 2]! |= byte << ((i & 3) * 8);
  });
  return words;
}

/** Little-endian 32-bit words as bytes in memory order. */
export function wordsToBytes(words: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words.length; i++) view.setUint32(i * 4, (words[i] as number) >>> 0, true);
  return bytes;
}

/** A 64-bit value from its halves; signed or unsigned halves give the same answer. */
export const toBig = (hi: number, lo: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

/** The low half of a 64-bit value as a signed 32-bit integer. */
export const loOf = (value: bigint): number => Number(BigInt.asIntN(32, value));

/** The high half of a 64-bit value as a signed 32-bit integer. */
export const hiOf = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));

/** `0x…` in lower case. */
export const hex = (value: bigint | number): string =>
  `0x${(typeof value === 'number' && value < 0 ? value >>> 0 : value).toString(16)}`;
