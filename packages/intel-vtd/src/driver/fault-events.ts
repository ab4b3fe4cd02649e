import { bytesToWords, hiOf, loOf, maskOf } from '@iommukit/bits';
import type { AccessName, DriverPorts, FaultRecord, InterruptSource } from '@iommukit/core';
import { FAULT_CONDITIONS, FAULT_RECORD, FAULT_TYPE, FRCD_BYTES, FSTS, REGISTERS } from '../format/index.ts';
import type { Features } from './features.ts';

const PFO = Number(maskOf(FSTS.fields.PFO));
const PPF = Number(maskOf(FSTS.fields.PPF));
/** A stray completion of a device-TLB invalidation. Nothing to do, but while it stands no event is raised. */
const ICE = Number(maskOf(FSTS.fields.ICE));
const F = 0x8000_0000;
const MASKED = 0x8000_0000;
/** Interrupt-remapping conditions: FI holds an interrupt index, or nothing. */
const FIRST_INTERRUPT = 0x20;
const LAST_INTERRUPT = 0x2b;
/** Bound on faults read in one go, as a multiple of the number of records: new ones may arrive meanwhile. */
const ROUNDS = 4;

const ACCESS_OF: Readonly<Record<number, AccessName | null>> = {
  [FAULT_TYPE.WRITE]: 'write',
  [FAULT_TYPE.PAGE_REQUEST]: null,
  [FAULT_TYPE.READ]: 'read',
  [FAULT_TYPE.ATOMIC]: 'write',
};

/** The fault recording registers and the fault event, VT-d 7.2 and 7.3. */
export class FaultEvents {
  readonly #ports: DriverPorts;
  readonly #first: number;
  readonly #count: number;
  listener: ((fault: FaultRecord) => void) | null = null;

  constructor(ports: DriverPorts, { cap }: Features) {
    this.#ports = ports;
    this.#first = cap.FRO * 16;
    this.#count = cap.NFR + 1;
  }

  /** Programs the event's message and unmasks it. */
  enable(source: InterruptSource | undefined): void {
    const { mmio } = this.#ports;
    const message = source?.msi;
    if (!message) return;
    mmio.write32(REGISTERS.FEDATA.at, message.data);
    mmio.write32(REGISTERS.FEADDR.at, loOf(message.address) >>> 0);
    mmio.write32(REGISTERS.FEUADDR.at, hiOf(message.address) >>> 0);
    mmio.write32(REGISTERS.FECTL.at, 0);
  }

  disable(): void {
    this.#ports.mmio.write32(REGISTERS.FECTL.at, MASKED);
  }

  /** Takes what an earlier owner left. */
  clear(): void {
    this.#collect();
  }

  /** Reads the pending records, frees them and the overflow bit, then delivers them in order. */
  deliver(): void {
    for (const fault of this.#collect()) this.listener?.(fault);
  }

  #collect(): FaultRecord[] {
    const { mmio } = this.#ports;
    const faults: FaultRecord[] = [];
    let status = mmio.read32(REGISTERS.FSTS.at);
    for (let round = 0; round < ROUNDS && (status & (PPF | PFO | ICE)) !== 0; round++) {
      this.#sweep(FSTS.get([status], 'FRI'), faults);
      mmio.write32(REGISTERS.FSTS.at, PFO | (status & ICE));
      status = mmio.read32(REGISTERS.FSTS.at);
    }
    return faults;
  }

  /** From the first pending record on while F is set, around the end. */
  #sweep(index: number, faults: FaultRecord[]): void {
    const { mmio } = this.#ports;
    for (let i = 0; i < this.#count; i++) {
      const at = this.#first + ((index + i) % this.#count) * FRCD_BYTES;
      if (mmio.read32(at + 12) < F) return;
      faults.push(this.#read(at));
      mmio.write32(at + 12, F);
    }
  }

  #read(at: number): FaultRecord {
    const { mmio } = this.#ports;
    const raw = new Uint8Array(FRCD_BYTES);
    const view = new DataView(raw.buffer);
    for (let byte = 0; byte < FRCD_BYTES; byte += 4) view.setUint32(byte, mmio.read32(at + byte), true);
    return decodeFault(raw);
  }
}

/** A fault record as the common contract carries it. `raw` is 16 bytes in memory order. */
export function decodeFault(raw: Uint8Array): FaultRecord {
  const record = FAULT_RECORD.decode(bytesToWords(raw));
  const condition = FAULT_CONDITIONS.get(record.FR);
  const interrupt = record.FR >= FIRST_INTERRUPT && record.FR <= LAST_INTERRUPT;
  const type = (record.T1 ? 2 : 0) | (record.T2 ? 1 : 0);
  return {
    reason: condition?.reason ?? 'unknown',
    name: condition?.name ?? `${record.FR.toString(16).toUpperCase()}h`,
    code: record.FR,
    device: record.SID,
    pasid: record.PP ? record.PV : null,
    iova: interrupt ? null : record.FI,
    access: record.PP && record.EXE && type === FAULT_TYPE.READ ? 'execute' : (ACCESS_OF[type] ?? null),
    raw,
  };
}
