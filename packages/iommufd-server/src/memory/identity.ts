import { type MemoryExtent, PROT } from '../wire/records.ts';
import type { PlacedMemory } from './windows.ts';

/** The object a file is, as a shared mapping of it shows it. */
export const fileObject = (dev: bigint, ino: bigint): string => `${dev}:${ino}`;

/** Who a piece of a process' memory is: shared memory is its file, private memory belongs to the process. */
export function identityOf(pid: number, { address, length, dev, ino, offset, prot }: MemoryExtent): PlacedMemory {
  if ((prot & PROT.SHARED) !== 0) return { object: fileObject(dev, ino), offset, length };
  return { object: `pid ${pid}`, offset: address, length };
}
