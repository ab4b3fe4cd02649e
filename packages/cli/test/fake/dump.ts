import { type Scratch, words64 } from '../run.ts';

/** Device 1 translates, device 2 is invalid, device 3 bypasses, device 4's table lies where no segment is. */
export const REGION = 0x10_0000n;
const TABLE = REGION + 0x1000n;

export function fakeMemory(): Uint8Array {
  const bytes = new Uint8Array(0x3000);
  bytes.set(words64(0, TABLE | 1n, 0, 2, 0x7000_0000_1001n), 0);
  const ptes = [0x5000_0003, 0x5000_1003, 0x5000_3003, 0x5000_4001, 0, 0x6000_0000_5002n];
  bytes.set(words64(...ptes), 0x1000);
  bytes.set(words64(0x01, 0x0000_1002, 0x8000_0000_0000_0f03n, 0x0f_0000_0000_0004n), 0x2000);
  return bytes;
}

export const fakeFrame = (): Uint8Array => words64(REGION, REGION + 0x2000n, 2, 0);

/** `--memory … --registers …` of the fake dump. */
export function fakeDump(scratch: Scratch): string[] {
  const memory = scratch.file('memory.raw', fakeMemory());
  const registers = scratch.file('registers.bin', fakeFrame());
  return ['--memory', `${memory}@0x${REGION.toString(16)}`, '--registers', registers];
}
