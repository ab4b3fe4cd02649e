import type { RegisterFile } from '@iommukit/bits';
import type { PhysicalMemory, QueueEntry } from '@iommukit/core';
import { IQA, IQH, IQT } from '../format/index.ts';

const PAGE = 4096;

const halves = (value: bigint): number[] => [Number(value & 0xffff_ffffn), Number(value >> 32n)];

/** The invalidation ring, oldest slot first: from the tail on, the slot that software would write next. */
export function* invalidationRing(memory: PhysicalMemory, registers: RegisterFile): Generator<QueueEntry> {
  if (!('IQA' in registers.table)) return;
  const { IQA: base, DW, QS } = IQA.decode(halves(registers.get('IQA')));
  const size = DW ? 32 : 16;
  const slots = (PAGE << QS) / size;
  const slotOf = (offset: bigint): number => Math.floor(Number(offset) / size) % slots;
  const head = slotOf(IQH.decode(halves(registers.get('IQH'))).QH);
  const tail = slotOf(IQT.decode(halves(registers.get('IQT'))).QT);
  const pending = (tail - head + slots) % slots;
  for (let i = 0; i < slots; i++) {
    const index = (tail + i) % slots;
    const bytes = new Uint8Array(size);
    if (!memory.readBytes(base + BigInt(index * size), bytes)) continue;
    yield { index, bytes, consumed: i < slots - pending };
  }
}
