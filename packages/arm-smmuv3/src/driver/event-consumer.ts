import { bytesToWords, type Layout } from '@iommukit/bits';
import {
  type AccessName,
  type DriverPorts,
  type FaultReasonName,
  type FaultRecord,
  IommuError,
  isIommuError,
} from '@iommukit/core';
import { EVENT, EVENT_BYTES, EVENTS } from '../format/events.ts';
import { CR0, QUEUE_BASE, QUEUE_PROD, REGISTERS } from '../format/registers.ts';
import type { CommandProducer } from './command-producer.ts';
import { resumeAbort } from './commands.ts';
import { waitFor, writeAndWait } from './poll.ts';

const PROD = REGISTERS.EVENTQ_PROD.at;
const CONS = REGISTERS.EVENTQ_CONS.at;
/** Bit 31 of PROD is OVFLG, of CONS OVACKFLG. */
const OVERFLOW = (2 ** QUEUE_PROD.fields.OVFLG.lsb) | 0;
/** Rings full of records taken in one go before it counts as a storm. */
const RINGS = 2;
const EVENTQEN = 1 << CR0.fields.EVENTQEN.lsb;

const REASONS: Readonly<Record<number, FaultReasonName>> = {
  [EVENT.F_UUT]: 'unsupported',
  [EVENT.C_BAD_STREAMID]: 'bad-device',
  [EVENT.F_STE_FETCH]: 'fetch-abort',
  [EVENT.C_BAD_STE]: 'bad-config',
  [EVENT.F_BAD_ATS_TREQ]: 'unsupported',
  [EVENT.F_STREAM_DISABLED]: 'bad-pasid',
  [EVENT.F_TRANSL_FORBIDDEN]: 'unsupported',
  [EVENT.C_BAD_SUBSTREAMID]: 'bad-pasid',
  [EVENT.F_CD_FETCH]: 'fetch-abort',
  [EVENT.C_BAD_CD]: 'bad-config',
  [EVENT.F_WALK_EABT]: 'fetch-abort',
  [EVENT.F_TRANSLATION]: 'not-present',
  [EVENT.F_ADDR_SIZE]: 'address-size',
  [EVENT.F_ACCESS]: 'access-flag',
  [EVENT.F_PERMISSION]: 'permission',
  [EVENT.F_VMS_FETCH]: 'fetch-abort',
};

/** Somebody who may take the records of one stream before the host hears of them. */
export interface EventTaker {
  /** True: taken. `words` is the record; it must not be changed. */
  take(words: Uint32Array): boolean;
}

interface Undelivered {
  readonly words: Uint32Array;
  readonly raw: Uint8Array;
}

/** The event queue, IHI 0070 3.5 and 7: records out of memory, faults to the listener. */
export class EventConsumer {
  listener: ((fault: FaultRecord) => void) | null = null;
  /** By StreamID. */
  readonly takers = new Map<number, EventTaker>();
  private readonly undelivered: Undelivered[] = [];
  private held = 0;
  private readonly ports: DriverPorts;
  private readonly queue: CommandProducer;
  private readonly base: number;
  private readonly lg2: number;
  private readonly mask: number;
  private readonly wrapMask: number;
  private cons = 0;
  /** OVFLG as last acknowledged. */
  private acknowledged = 0;

  /** Allocates the ring. Throws IommuError ENOMEM. */
  constructor(ports: DriverPorts, lg2: number, queue: CommandProducer) {
    this.ports = ports;
    this.queue = queue;
    this.lg2 = lg2;
    this.mask = 2 ** lg2 - 1;
    this.wrapMask = 2 ** (lg2 + 1) - 1;
    this.base = ports.pages.alloc(2 ** lg2 * EVENT_BYTES);
  }

  /** Base and indices into the registers; EVENTQEN must be off. */
  program(): void {
    const { mmio } = this.ports;
    const [lo, hi] = QUEUE_BASE.encode({ LOG2SIZE: this.lg2, ADDR: BigInt(this.base), RA_WA: true });
    mmio.write64(REGISTERS.EVENTQ_BASE.at, (BigInt(hi!) << 32n) | BigInt(lo!));
    mmio.write32(PROD, 0);
    mmio.write32(CONS, 0);
    this.cons = 0;
    this.acknowledged = 0;
  }

  free(): void {
    this.ports.pages.free(this.base);
  }

  /** Keeps faults back until {@link letGo}: nobody hears of one in the middle of an operation. May be nested. */
  hold(): void {
    this.held++;
  }

  letGo(): void {
    this.held--;
    this.deliver();
  }

  /** The interrupt. A unit that stops answering is noticed by whoever waits for it, not here. */
  onInterrupt(): void {
    this.hold();
    try {
      this.drain();
    } catch (error) {
      if (!isIommuError(error)) throw error;
    } finally {
      this.letGo();
    }
  }

  /**
   * Takes every record there is. The interrupt comes only when an empty queue fills, so this ends when PROD is met, not
   * when the records seen at first are done. Records that keep coming as fast as they are taken are a storm.
   */
  private drain(): void {
    for (let left = RINGS << this.lg2; left > 0; ) {
      const taken = this.takePending();
      if (taken === 0) return;
      left -= taken;
    }
    this.endStorm();
  }

  /** Takes what stands in the ring now and says so, acknowledging an overflow. Returns how much that was, 0 = nothing. */
  private takePending(): number {
    const { mmio } = this.ports;
    const prod = mmio.read32(PROD);
    const pending = Math.min((prod - this.cons) & this.wrapMask, this.mask + 1);
    const overflowed = ((prod ^ this.acknowledged) & OVERFLOW) !== 0;
    if (pending === 0 && !overflowed) return 0;
    for (let i = 0; i < pending; i++) {
      this.take(this.cons & this.mask);
      this.cons = (this.cons + 1) & this.wrapMask;
    }
    this.acknowledged = prod & OVERFLOW;
    mmio.write32(CONS, (this.cons | this.acknowledged) >>> 0);
    return Math.max(pending, 1);
  }

  /**
   * A device that faults without end must not keep the handler for ever, and a queue left with records in it would never
   * interrupt again. So the queue is switched off, emptied and switched on: records in between are lost, as they would be
   * in an overflow. The last access switches on and does not wait, for in that time the storm would fill the queue anew.
   */
  private endStorm(): void {
    const { mmio } = this.ports;
    const cr0 = mmio.read32(REGISTERS.CR0.at);
    waitFor(this.ports, () => mmio.read32(REGISTERS.CR0ACK.at) === cr0, 'CR0');
    writeAndWait(this.ports, REGISTERS.CR0.at, REGISTERS.CR0ACK.at, cr0 & ~EVENTQEN);
    for (let round = 0; round < RINGS && this.takePending() > 0; round++);
    mmio.write32(REGISTERS.CR0.at, cr0);
  }

  private take(slot: number): void {
    const raw = new Uint8Array(EVENT_BYTES);
    if (!this.ports.memory.readBytes(BigInt(this.base + slot * EVENT_BYTES), raw))
      throw new IommuError('EIO', 'the event queue lies in memory that aborts');
    const words = bytesToWords(raw);
    this.endStall(words);
    this.undelivered.push({ words, raw });
  }

  /** A listener that throws does not keep the others' faults from being heard; its error comes out at the end. */
  private deliver(): void {
    let first: { readonly error: unknown } | null = null;
    while (this.held === 0 && this.undelivered.length > 0) {
      try {
        const { words, raw } = this.undelivered.shift()!;
        if (this.takers.get(words[1]!)?.take(words) !== true) this.listener?.(faultOf(words, raw));
      } catch (error) {
        first ??= { error };
      }
    }
    if (first !== null) throw first.error;
  }

  /** Where the SMMU stalls whatever faults, somebody must let go of the transaction: nobody here mends faults. */
  private endStall(words: Uint32Array): void {
    const form = EVENTS[words[0]! & 0xff]?.layout;
    if (form?.fields.Stall === undefined || !form.get(words, 'Stall')) return;
    resumeAbort(this.queue, words[1]!, Number(form.get(words, 'STAG')));
    this.queue.publish();
  }
}

/** The common form of a record. What is not in the record's own layout is null; any bytes give a fault. */
export function faultOf(words: Uint32Array, raw: Uint8Array): FaultRecord {
  const code = words[0]! & 0xff;
  const known = EVENTS[code];
  const fields: Readonly<Record<string, unknown>> = known?.layout.decode(words) ?? {};
  const always = code === EVENT.C_BAD_SUBSTREAMID;
  return {
    reason: REASONS[code] ?? 'unknown',
    name: known?.name ?? 'UNKNOWN',
    code,
    device: words[1]!,
    pasid: always || fields.SSV === true ? Number(fields.SubstreamID) : null,
    iova: known !== undefined && has(known.layout, 'InputAddr') ? (fields.InputAddr as bigint) : null,
    access: accessOf(known?.layout, fields),
    raw,
  };
}

const has = (form: Layout, field: string): boolean => form.fields[field] !== undefined;

function accessOf(form: Layout | undefined, fields: Readonly<Record<string, unknown>>): AccessName | null {
  if (form === undefined || !has(form, 'RnW')) return null;
  if (fields.RnW !== true) return 'write';
  return fields.InD === true ? 'execute' : 'read';
}
