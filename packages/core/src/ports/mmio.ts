/**
 * A register frame as software sees it: byte offsets from the frame's base. Which sizes a register accepts is the
 * model's business; an access it does not accept reads 0 and writes nothing.
 */
export interface MmioRegion {
  read8(offset: number): number;
  read16(offset: number): number;
  /** 0 … 2^32-1. */
  read32(offset: number): number;
  read64(offset: number): bigint;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
  write64(offset: number, value: bigint): void;
}

/** A frame that only takes 32- and 64-bit accesses (most do): narrower ones read 0 and write nothing. */
export abstract class WordMmio implements MmioRegion {
  abstract read32(offset: number): number;
  abstract read64(offset: number): bigint;
  abstract write32(offset: number, value: number): void;
  abstract write64(offset: number, value: bigint): void;
  read8(_offset: number): number {
    return 0;
  }
  read16(_offset: number): number {
    return 0;
  }
  write8(_offset: number, _value: number): void {}
  write16(_offset: number, _value: number): void {}
}
