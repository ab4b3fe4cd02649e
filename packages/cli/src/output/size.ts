const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E'];

/** Bytes for people: `4K`, `2M`; what is no whole number of a unit stays in the next smaller one. */
export function sizeText(bytes: number | bigint): string {
  let rest = BigInt(bytes);
  let unit = 0;
  while (rest !== 0n && rest % 1024n === 0n && unit < UNITS.length - 1) {
    rest /= 1024n;
    unit++;
  }
  return `${rest}${UNITS[unit]}`;
}
