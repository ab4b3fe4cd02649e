import type { PhysicalMemory, QueueEntry } from '@iommukit/core';
import { COMMAND_BYTES } from '../format/commands.ts';
import { EVENT_BYTES } from '../format/events.ts';
import { QUEUE_BASE, REGISTERS } from '../format/registers.ts';
import type { Features } from '../hardware/features.ts';

interface Ring {
  readonly base: number;
  readonly prod: number;
  readonly cons: number;
  readonly entryBytes: number;
  limit(features: Features): number;
}

const word = (name: keyof typeof REGISTERS): number => REGISTERS[name].at / 4;

const RINGS: Readonly<Record<string, Ring>> = {
  command: {
    base: word('CMDQ_BASE'),
    prod: word('CMDQ_PROD'),
    cons: word('CMDQ_CONS'),
    entryBytes: COMMAND_BYTES,
    limit: (features) => features.cmdqLg2,
  },
  event: {
    base: word('EVENTQ_BASE'),
    prod: word('EVENTQ_PROD'),
    cons: word('EVENTQ_CONS'),
    entryBytes: EVENT_BYTES,
    limit: (features) => features.eventqLg2,
  },
};

export const RING_NAMES: readonly string[] = Object.keys(RINGS);

/**
 * Every slot of a ring, oldest first. Slots that the dump does not hold are left out, and so are slots outside
 * CONS..PROD that are all zero: nothing was ever written there (no command or event has number 0).
 */
export function* ringEntries(
  name: string,
  registers: Int32Array,
  memory: PhysicalMemory,
  features: Features,
): Iterable<QueueEntry> {
  const ring = RINGS[name];
  if (ring === undefined) throw new RangeError(`no queue '${name}'; there are ${RING_NAMES.join(', ')}`);
  const { LOG2SIZE, ADDR } = QUEUE_BASE.decode(registers, ring.base);
  const entries = 2 ** Math.min(LOG2SIZE, ring.limit(features));
  const size = BigInt(Math.max(entries * ring.entryBytes, 32));
  const base = ADDR - (ADDR % size);
  const waiting = pending(registers[ring.prod]!, registers[ring.cons]!, entries);
  const newest = registers[ring.prod]! & (entries - 1);
  for (let i = 0; i < entries; i++) {
    const index = (newest + i) % entries;
    const bytes = new Uint8Array(ring.entryBytes);
    if (!memory.readBytes(base + BigInt(index * ring.entryBytes), bytes)) continue;
    const consumed = i < entries - waiting;
    if (consumed && bytes.every((byte) => byte === 0)) continue;
    yield { index, bytes, consumed };
  }
}

/** Entries between CONS and PROD; none where the indices contradict each other. */
function pending(prod: number, cons: number, entries: number): number {
  const count = (prod - cons) & (2 * entries - 1);
  return count <= entries ? count : 0;
}
