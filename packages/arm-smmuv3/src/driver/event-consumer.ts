import { bytesToWords, type Layout } from '@iommukit/bits';
import { type AccessName, type DriverPorts, type FaultReasonName, type FaultRecord, IommuError } from '@iommukit/core';
import { EVENT, EVENT_BYTES, EVENTS } from '../format/events.ts';
import { QUEUE_BASE, QUEUE_PROD, REGISTERS } from '../format/registers.ts';
import type { CommandProducer } from './command-producer.ts';
import { resumeAbort } from './commands.ts';

const PROD = REGISTERS.EVENTQ_PROD.at;
const CONS = REGISTERS.EVENTQ_CONS.at;
/** Bit 31 of PROD is OVFLG, of CONS OVACKFLG. */
const OVERFLOW = (2 ** QUEUE_PROD.fields.OVFLG.lsb) | 0;
/** Times a full ring is emptied in one go: a unit that fills it faster than that is not listened to for ever. */
const ROUNDS = 4;

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

/** The event queue, IHI 0070 3.5 and 7: records out of memory, faults to the listener. */
export class EventConsumer {
  listener: ((fault: FaultRecord) => void) | null = null;
  private readonly ports: DriverPorts;
  private readonly queue: CommandProducer;
  private readonly base: number;
  private readonly lg2: number;
  private readonly mask: number;
  private readonly wrapMask: number;
  private cons = 0;

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
  }

  free(): void {
    this.ports.pages.free(this.base);
  }

  /**
   * Takes every record there is. The interrupt comes only when an empty queue fills, so this ends when PROD is met, not
   * when the records seen at first are done. An overflow is acknowledged by copying its flag.
   */
  drain(): void {
    const { mmio } = this.ports;
    for (let left = ROUNDS << this.lg2; left > 0; ) {
      const prod = mmio.read32(PROD);
      const pending = Math.min((prod - this.cons) & this.wrapMask, this.mask + 1);
      const overflowed = ((prod ^ mmio.read32(CONS)) & OVERFLOW) !== 0;
      if (pending === 0 && !overflowed) return;
      for (let i = 0; i < pending; i++) {
        this.take(this.cons & this.mask);
        this.cons = (this.cons + 1) & this.wrapMask;
      }
      mmio.write32(CONS, (this.cons | (prod & OVERFLOW)) >>> 0);
      left -= Math.max(pending, 1);
    }
  }

  private take(slot: number): void {
    const raw = new Uint8Array(EVENT_BYTES);
    if (!this.ports.memory.readBytes(BigInt(this.base + slot * EVENT_BYTES), raw))
      throw new IommuError('EIO', 'the event queue lies in memory that aborts');
    const words = bytesToWords(raw);
    this.endStall(words);
    this.listener?.(faultOf(words, raw));
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
