import type { Region } from '../memory/sparse-source.ts';

/** The windows a bus lets DMA through, compared by address halves. */
export class BusWindows {
  /** Four words a window: start high, start low, last high, last low. */
  private readonly words: Uint32Array;

  constructor(windows: readonly Region[]) {
    this.words = new Uint32Array(windows.length * 4);
    windows.forEach(({ start, last }, i) => {
      this.words.set([high(start), low(start), high(last), low(last)], i * 4);
    });
  }

  admit(iovaHi: number, iovaLo: number): boolean {
    const hi = iovaHi >>> 0;
    const lo = iovaLo >>> 0;
    const words = this.words;
    for (let i = 0; i < words.length; i += 4) {
      const fromStart = hi > words[i]! || (hi === words[i]! && lo >= words[i + 1]!);
      const toLast = hi < words[i + 2]! || (hi === words[i + 2]! && lo <= words[i + 3]!);
      if (fromStart && toLast) return true;
    }
    return false;
  }
}

const high = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n));
const low = (value: bigint): number => Number(BigInt.asUintN(32, value));
