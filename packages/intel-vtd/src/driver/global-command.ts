import { maskOf } from '@iommukit/bits';
import type { DriverPorts } from '@iommukit/core';
import { GCMD, GCMD_KEEP, GSTS, REGISTERS } from '../format/index.ts';
import { pollUntil } from './poll.ts';

const GCMD_AT = REGISTERS.GCMD.at;
const GSTS_AT = REGISTERS.GSTS.at;

const bit = (field: Parameters<typeof maskOf>[0]): number => Number(maskOf(field));
const TE = bit(GCMD.fields.TE);
const SRTP = bit(GCMD.fields.SRTP);
const WBF = bit(GCMD.fields.WBF);
const QIE = bit(GCMD.fields.QIE);

/**
 * The command register, VT-d 11.4.4.1: read the status, drop its one-shot bits, change one bit, write, poll. Only one
 * command may be outstanding. Every method throws ETIMEDOUT when the unit does not answer.
 */
export class GlobalCommand {
  readonly #ports: DriverPorts;

  constructor(ports: DriverPorts) {
    this.#ports = ports;
  }

  get translationEnabled(): boolean {
    return this.#status(bit(GSTS.fields.TES));
  }

  get queueEnabled(): boolean {
    return this.#status(bit(GSTS.fields.QIES));
  }

  setTranslation(on: boolean): void {
    this.#hold(TE, on, 'translation enable');
  }

  setQueue(on: boolean): void {
    this.#hold(QIE, on, 'queued invalidation enable');
  }

  /** Latches RTADDR; the status bit is clear while the unit works and set when it is done. */
  setRootTable(): void {
    this.#issue(SRTP, true);
    this.#await(SRTP, true, 'set root table pointer');
  }

  /** The status bit of this one is set while the unit works. */
  flushWriteBuffer(): void {
    this.#issue(WBF, true);
    this.#await(WBF, false, 'write buffer flush');
  }

  #hold(mask: number, on: boolean, what: string): void {
    this.#issue(mask, on);
    this.#await(mask, on, what);
  }

  #issue(mask: number, on: boolean): void {
    const { mmio } = this.#ports;
    const kept = mmio.read32(GSTS_AT) & GCMD_KEEP;
    mmio.write32(GCMD_AT, (on ? kept | mask : kept & ~mask) >>> 0);
  }

  #await(mask: number, on: boolean, what: string): void {
    pollUntil(this.#ports.time, what, () => this.#status(mask) === on);
  }

  #status(mask: number): boolean {
    return (this.#ports.mmio.read32(GSTS_AT) & mask) !== 0;
  }
}
