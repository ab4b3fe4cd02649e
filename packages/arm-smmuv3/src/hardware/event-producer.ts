import { wordsToBytes } from '@iommukit/bits';
import { EVENT_BYTES } from '../format/events.ts';
import { CR0, QUEUE_PROD, REGISTERS } from '../format/registers.ts';
import { GLOBAL_ERROR, type Interrupts } from './interrupts.ts';
import { queueBase, queueLg2 } from './queue.ts';
import type { UnitState } from './unit.ts';

const CR0ACK = REGISTERS.CR0ACK.at / 4;
const BASE = REGISTERS.EVENTQ_BASE.at / 4;
const PROD = REGISTERS.EVENTQ_PROD.at / 4;
const CONS = REGISTERS.EVENTQ_CONS.at / 4;
const EVENTQEN = 1 << CR0.fields.EVENTQEN.lsb;
const OVFLG = 1 << QUEUE_PROD.fields.OVFLG.lsb;
const EVENT_WORDS = EVENT_BYTES / 4;

/** Writes event records: IHI 0070 3.5 and 7.2. */
export class EventProducer {
  /** Records are answered but not queued: the unit was woken from a dump. */
  detached = false;
  private readonly unit: UnitState;
  private readonly interrupts: Interrupts;
  private readonly base = new Int32Array(2);

  constructor(unit: UnitState, interrupts: Interrupts) {
    this.unit = unit;
    this.interrupts = interrupts;
  }

  /** Queues the first eight words. False when the record is lost: queue disabled, full, or aborting. */
  emit(record: Uint32Array): boolean {
    if (this.unit.probe?.record) this.unit.probe.record('event', wordsToBytes(record.subarray(0, EVENT_WORDS)));
    if (this.detached) return true;
    const { registers } = this.unit;
    if ((registers[CR0ACK]! & EVENTQEN) === 0 || this.interrupts.active(GLOBAL_ERROR.EVENTQ_ABT)) return false;
    const lg2 = queueLg2(registers[BASE]!, this.unit.features.eventqLg2);
    const wrapMask = (2 << lg2) - 1;
    const used = (registers[PROD]! - registers[CONS]!) & wrapMask;
    if (used >= 1 << lg2) return this.overflow();
    return this.write(record, lg2, wrapMask, used === 0);
  }

  private write(record: Uint32Array, lg2: number, wrapMask: number, wasEmpty: boolean): boolean {
    const { registers, memory } = this.unit;
    queueBase(registers, BASE, lg2, EVENT_BYTES, this.base);
    const hi = this.base[1]!;
    const lo = this.base[0]! | ((registers[PROD]! & ((1 << lg2) - 1)) * EVENT_BYTES);
    for (let i = 0; i < EVENT_WORDS; i += 2) {
      if (this.unit.outside(hi) || !memory.write64(hi, lo + i * 4, record[i + 1]! | 0, record[i]! | 0)) {
        this.interrupts.raise(GLOBAL_ERROR.EVENTQ_ABT);
        return false;
      }
    }
    registers[PROD] = (registers[PROD]! & OVFLG) | ((registers[PROD]! + 1) & wrapMask);
    if (wasEmpty) this.interrupts.eventQueue();
    return true;
  }

  /** Toggles OVFLG unless an overflow is still unacknowledged. */
  private overflow(): boolean {
    const { registers } = this.unit;
    if (((registers[PROD]! ^ registers[CONS]!) & OVFLG) === 0) registers[PROD]! ^= OVFLG;
    return false;
  }
}
