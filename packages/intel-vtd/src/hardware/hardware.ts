import { toBig } from '@iommukit/bits';
import {
  type DmaAnswer,
  type DmaRequest,
  type HardwareModel,
  type HardwarePorts,
  type HardwareProbe,
  type MmioRegion,
  WordMmio,
} from '@iommukit/core';
import { FRAME_BYTES, REGISTERS } from '../format/index.ts';
import { Features } from './features.ts';
import { VtdUnit } from './unit.ts';

/** What a unit advertises, as raw register values; `hostAddressBits` is what its DMAR table tells (12 to 52). */
export interface VtdHardwareConfig {
  /** VER: major version in bits 7:4, minor in 3:0. */
  readonly version: number;
  readonly cap: bigint;
  readonly ecap: bigint;
  readonly hostAddressBits: number;
}

/** The register window: 32- and 64-bit accesses. */
class VtdMmio extends WordMmio {
  readonly #hardware: VtdHardware;

  constructor(hardware: VtdHardware) {
    super();
    this.#hardware = hardware;
  }

  read32(offset: number): number {
    return this.#hardware.unit.registers.read32(offset);
  }

  read64(offset: number): bigint {
    return this.#hardware.unit.registers.read64(offset);
  }

  write32(offset: number, value: number): void {
    this.#hardware.unit.registers.write32(offset, value);
  }

  write64(offset: number, value: bigint): void {
    this.#hardware.unit.registers.write64(offset, value);
  }
}

/** The hardware half: one remapping unit that is given memory, a clock and nothing else. */
export class VtdHardware implements HardwareModel {
  readonly mmio: MmioRegion;
  readonly mmioBytes = FRAME_BYTES;
  unit!: VtdUnit;
  private readonly ports: HardwarePorts;
  private readonly config: VtdHardwareConfig;
  private onlooker: HardwareProbe | null = null;
  private woken = false;
  private queriesOnly = false;

  constructor(ports: HardwarePorts, config: VtdHardwareConfig) {
    this.ports = ports;
    this.config = config;
    this.unit = this.build(config.version, config.cap, config.ecap);
    this.mmio = new VtdMmio(this);
  }

  get probe(): HardwareProbe | null {
    return this.onlooker;
  }

  set probe(probe: HardwareProbe | null) {
    this.onlooker = probe;
    this.unit.state.probe = probe;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    this.unit.translator.translate(request, answer);
  }

  /** Also forgets a dump: the unit is again the one it was built as. */
  reset(): void {
    if (this.woken) this.unit = this.build(this.config.version, this.config.cap, this.config.ecap);
    else this.unit.reset();
    this.woken = false;
  }

  /** Features come from the frame's own VER, CAP and ECAP. */
  wake(frame: Uint8Array): void {
    const words = new Int32Array(REGISTERS.GCMD.at / 4);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    for (let i = 0; i < words.length && 4 * i + 4 <= frame.byteLength; i++) words[i] = view.getInt32(4 * i, true);
    const register = (at: number): bigint => toBig(words[at / 4 + 1]!, words[at / 4]!);
    this.unit = this.build(words[0]! & 0xff, register(REGISTERS.CAP.at), register(REGISTERS.ECAP.at));
    this.unit.wake(frame);
    this.woken = true;
  }

  /** From now on, waking included, the model serves a dump's reader: see {@link VtdUnit.answerQueries}. */
  answerQueries(): void {
    this.queriesOnly = true;
    this.unit.answerQueries();
  }

  dropCaches(): void {
    this.unit.caches.clear();
  }

  private build(version: number, cap: bigint, ecap: bigint): VtdUnit {
    /* Work that the machine still owes the old unit must find nothing to do. */
    this.unit?.reset();
    const unit = new VtdUnit(this.ports, new Features(version, cap, ecap, this.config.hostAddressBits));
    unit.state.probe = this.onlooker;
    if (this.queriesOnly) unit.answerQueries();
    unit.reset();
    return unit;
  }
}
