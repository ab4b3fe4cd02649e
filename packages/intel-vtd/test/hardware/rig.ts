import { hiOf, loOf, toBig } from '@iommukit/bits';
import { ACCESS, type Access, DmaAnswer, DmaRequest, OUTCOME } from '@iommukit/core';
import { SparseMemory } from '@iommukit/machine';
import { VTD_CONFIGS, type VtdFeatures, vtdHardware } from '../../src/config.ts';
import { REGISTERS } from '../../src/format/index.ts';
import { VtdHardware, type VtdHardwareConfig } from '../../src/hardware/hardware.ts';

export const SRTP = 0x4000_0000;
export const TE = 0x8000_0000;
export const QIE = 0x0400_0000;

export interface Reply {
  readonly outcome: 'translated' | 'bypass' | 'fault';
  readonly pa?: bigint;
  readonly page?: number;
  readonly rights?: number;
  readonly code?: number;
  readonly record?: string | null;
}

export interface Ask {
  readonly device?: number;
  readonly pasid?: number;
  readonly access?: Access;
  readonly privileged?: boolean;
  readonly kind?: DmaRequest['kind'];
}

/** Bytes and registers in, answers out; no driver. Everything is written as the manual's words. */
export class Rig {
  readonly memory = new SparseMemory();
  readonly hardware: VtdHardware;
  readonly request = new DmaRequest();
  readonly answer = new DmaAnswer();
  /** Deferred work runs at once unless this is set; then {@link run} does it. */
  hold = false;
  #deferred: (() => void)[] = [];
  #next = 0x10_0000n;
  #device = 0x10;
  #ring = 0n;
  #tail = 0;
  #slot = 32;

  constructor(config: string | VtdFeatures | VtdHardwareConfig) {
    const defer = (work: () => void): void => {
      if (this.hold) this.#deferred.push(work);
      else work();
    };
    this.hardware = new VtdHardware({ memory: this.memory, irq: {}, defer }, hardwareOf(config));
  }

  run(): void {
    for (const work of this.#deferred.splice(0)) work();
  }

  page(): bigint {
    this.#next += 0x1000n;
    return this.#next - 0x1000n;
  }

  put(address: bigint, ...quads: bigint[]): void {
    quads.forEach((quad, i) => {
      const at = address + BigInt(i * 8);
      this.memory.write64(hiOf(at), loOf(at), hiOf(quad), loOf(quad));
    });
  }

  get(address: bigint): bigint {
    if (!this.memory.read64(hiOf(address), loOf(address))) throw new Error(`no memory at ${address}`);
    return toBig(this.memory.hi, this.memory.lo);
  }

  reg(name: keyof typeof REGISTERS): bigint {
    const { at, size } = REGISTERS[name];
    return size === 8 ? this.hardware.mmio.read64(at) : BigInt(this.hardware.mmio.read32(at));
  }

  write(name: keyof typeof REGISTERS, value: bigint | number): void {
    const { at, size } = REGISTERS[name];
    if (size === 8) this.hardware.mmio.write64(at, BigInt(value));
    else this.hardware.mmio.write32(at, Number(value));
  }

  /** Points the unit at a root table and turns translation on. `ttm` 0 legacy, 1 scalable. */
  enable(root: bigint, ttm = 0): void {
    this.write('RTADDR', root | BigInt(ttm << 10));
    const queue = Number(this.reg('GSTS')) & QIE;
    this.write('GCMD', (queue | SRTP) >>> 0);
    this.write('GCMD', (queue | TE) >>> 0);
  }

  /** Entries down a radix table, made where missing; `tableBits` stand in each non-leaf entry. */
  map(root: bigint, levels: number, iova: bigint, leaf: bigint, tableBits: bigint, leafLevel = 1): bigint {
    let table = root;
    for (let level = levels; ; level--) {
      const at = table + ((iova >> BigInt(3 + 9 * level)) & 511n) * 8n;
      if (level === leafLevel) {
        this.put(at, leaf);
        return at;
      }
      if ((this.get(at) & 3n) === 0n) this.put(at, this.page() | tableBits);
      table = this.get(at) & 0x000f_ffff_ffff_f000n;
    }
  }

  ask(iova: bigint, options: Ask = {}): Reply {
    const { request, answer } = this;
    request.device = options.device ?? this.#device;
    request.pasid = options.pasid ?? -1;
    request.access = options.access ?? ACCESS.READ;
    request.privileged = options.privileged ?? false;
    request.kind = options.kind ?? 0;
    request.iovaHi = hiOf(iova);
    request.iovaLo = loOf(iova);
    this.hardware.translate(request, answer);
    if (answer.outcome === OUTCOME.FAULT) {
      const record = [...answer.record.subarray(0, answer.recordWords)].reverse();
      const text = record.map((word) => word.toString(16).padStart(8, '0')).join('');
      return { outcome: 'fault', code: answer.code, record: text === '' ? null : text };
    }
    const pa = toBig(answer.paHi, answer.paLo);
    if (answer.outcome === OUTCOME.BYPASS) return { outcome: 'bypass', pa };
    return { outcome: 'translated', pa, page: answer.pageSizeLg2, rights: answer.permissions };
  }

  read(iova: bigint, options: Ask = {}): Reply {
    return this.ask(iova, options);
  }

  /** Just the fault reason, or 0. */
  code(iova: bigint, options: Ask = {}): number {
    return this.ask(iova, options).code ?? 0;
  }

  writes(iova: bigint, options: Ask = {}): Reply {
    return this.ask(iova, { ...options, access: ACCESS.WRITE });
  }

  /** A queue of one page; `wide` for 256-bit entries. */
  startQueue(wide: boolean): void {
    this.#ring = this.page();
    this.#slot = wide ? 32 : 16;
    this.#tail = 0;
    this.write('IQT', 0);
    this.write('IQA', this.#ring | (wide ? 0x800n : 0n));
    this.write('GCMD', (Number(this.reg('GSTS')) & TE) | QIE);
  }

  /** Queues one descriptor and rings. */
  submit(...quads: bigint[]): void {
    const { memory } = this;
    for (let i = 0; i < this.#slot / 8; i++) {
      const at = this.#ring + BigInt(this.#tail + i * 8);
      const quad = quads[i] ?? 0n;
      memory.write64(hiOf(at), loOf(at), hiOf(quad), loOf(quad));
    }
    this.#tail = (this.#tail + this.#slot) & 0xfff;
    this.write('IQT', this.#tail);
  }

  /** Overwrites the slot the head stands at. */
  repair(...quads: bigint[]): void {
    const at = this.#ring + this.reg('IQH');
    this.put(at, ...quads);
  }
}

function hardwareOf(config: string | VtdFeatures | VtdHardwareConfig): VtdHardwareConfig {
  if (typeof config !== 'string')
    return typeof config.cap === 'bigint' ? (config as VtdHardwareConfig) : vtdHardware(config as VtdFeatures);
  const found = VTD_CONFIGS.find(({ name }) => name === config);
  if (found === undefined) throw new Error(`no configuration ${config}`);
  return found.hardware;
}

/** A rig in legacy mode with device 00:02.0 on a four-level table in domain 5; nothing mapped. */
export function legacyRig(config: string | VtdFeatures = 'legacy-4level', aw = 2n) {
  const rig = new Rig(config);
  const root = rig.page();
  const contexts = rig.page();
  const table = rig.page();
  const context = contexts + 0x10n * 16n;
  rig.put(root, contexts | 1n);
  rig.put(context, table | 1n, (5n << 8n) | aw);
  return Object.assign(rig, { root, context, table });
}

/**
 * A rig in scalable mode: device 00:02.0, directory of 128, PASID 0 for requests without one. `entry(pasid)` is where
 * its PASID entry goes.
 */
export function scalableRig(config: string | VtdFeatures = 'scalable-nested') {
  const rig = new Rig(config);
  const root = rig.page();
  const contexts = rig.page();
  const directory = rig.page();
  const table = rig.page();
  const context = contexts + 0x10n * 32n;
  rig.put(root, contexts | 1n);
  rig.put(context, directory | 1n | 8n);
  rig.put(directory, table | 1n);
  const entry = (pasid: number): bigint => table + BigInt(pasid * 64);
  return Object.assign(rig, { root, context, directory, pasids: table, entry });
}
