/** Signed 32-bit halves of a physical address held as an exact integer below 2^53. */
export const paHi = (pa: number): number => Math.floor(pa / 2 ** 32) | 0;
export const paLo = (pa: number): number => pa | 0;
