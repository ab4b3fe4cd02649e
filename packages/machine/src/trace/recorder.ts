import type { Machine } from '../machine.ts';
import type { AccessSize, MachineObserver } from '../observer.ts';
import type { Unit } from '../unit.ts';
import { snapshotAnswer, snapshotMemory } from './snapshot.ts';
import type { Trace, TraceEntry } from './trace.ts';

export interface Recording {
  /** What happened so far, with memory as it stands now. */
  take(): Trace;
  stop(): void;
}

/**
 * Records a machine from its first moment on. The machine must be made with `record: true` and be untouched: a trace
 * that begins later could not be replayed. Devices that tests attach to the bus are not part of a trace.
 */
export function record(machine: Machine): Recording {
  const { ram, messageInterrupts, record: observed } = machine.options;
  if (!observed) throw new Error('recording needs a machine made with { record: true }');
  if (machine.units.length !== 0) throw new Error('recording must begin before the first unit is added');
  const schedule = machine.schedule;
  const entries: TraceEntry[] = [];
  const stop = machine.observe(recorder(machine, entries));
  return {
    take: () => ({
      ram: ram ?? null,
      schedule,
      messageInterrupts: messageInterrupts ?? true,
      entries: [...entries],
      memory: snapshotMemory(machine.memory),
    }),
    stop,
  };
}

function recorder(machine: Machine, entries: TraceEntry[]): MachineObserver {
  const access = (op: 'read' | 'write', unit: Unit, offset: number, size: AccessSize, value: number | bigint) => {
    entries.push({ op, unit: machine.units.indexOf(unit), offset, size, value: unsigned(value, size) });
  };
  return {
    unitAdded({ id, plugin, config, description: { mmioBase, hostAddressBits } }) {
      entries.push({ op: 'unit', unit: { id, vendor: plugin.id, config: config.name, mmioBase, hostAddressBits } });
    },
    read: (unit, offset, size, value) => access('read', unit, offset, size, value),
    write: (unit, offset, size, value) => access('write', unit, offset, size, value),
    memory: (address, bytes, word) => entries.push({ op: 'memory', address, bytes: bytes.slice(), word }),
    dma(unit, request, answer) {
      const index = machine.units.indexOf(unit);
      entries.push({ op: 'dma', unit: index, request: { ...request }, answer: snapshotAnswer(answer) });
    },
    poison: (start, last) => entries.push({ op: 'poison', start, last }),
    heal: () => entries.push({ op: 'heal' }),
    relax: () => entries.push({ op: 'relax' }),
    settle: () => entries.push({ op: 'settle' }),
    reset: () => entries.push({ op: 'reset' }),
    schedule: (schedule) => entries.push({ op: 'schedule', schedule }),
  };
}

/** Drivers may pass signed words; the trace holds the bits that reach the register. */
const unsigned = (value: number | bigint, size: AccessSize): bigint => BigInt.asUintN(size * 8, BigInt(value));
