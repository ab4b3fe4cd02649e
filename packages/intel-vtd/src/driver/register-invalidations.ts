import { toBig, type Words } from '@iommukit/bits';
import { type DriverPorts, IommuError } from '@iommukit/core';
import { CC_G, CCMD, IOTLB, IOTLB_AFTER_IVA, IOTLB_G, IVA, REGISTERS } from '../format/index.ts';
import type { Features } from './features.ts';
import type { Invalidations } from './invalidations.ts';
import { pollUntil } from './poll.ts';

const BUSY = 1n << 63n;
const word64 = (words: Words): bigint => toBig(words[1]!, words[0]!);

/**
 * Invalidation by registers, VT-d 6.5.1: for units without a queue, which are always in legacy mode. Each request is
 * carried out when it is made. PASID caches, first-stage translations and device TLBs do not exist on such units.
 */
export class RegisterInvalidations implements Invalidations {
  readonly #ports: DriverPorts;
  readonly #iva: number;
  readonly #drain: { readonly DW: boolean; readonly DR: boolean };

  constructor(ports: DriverPorts, { cap, ecap }: Features) {
    this.#ports = ports;
    this.#iva = ecap.IRO * 16;
    this.#drain = { DW: cap.DWD, DR: cap.DRD };
  }

  contextGlobal(): void {
    this.#context(CCMD.encode({ CIRG: CC_G.GLOBAL, ICC: true }));
  }

  contextDevice(sid: number, did: number): void {
    this.#context(CCMD.encode({ CIRG: CC_G.DEVICE, SID: sid, DID: did, ICC: true }));
  }

  iotlbGlobal(): void {
    this.#iotlb(IOTLB.encode({ IIRG: IOTLB_G.GLOBAL, IVT: true, ...this.#drain }));
  }

  iotlbDomain(did: number): void {
    this.#iotlb(IOTLB.encode({ IIRG: IOTLB_G.DOMAIN, DID: did, IVT: true, ...this.#drain }));
  }

  iotlbPages(did: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    const address = IVA.encode({ ADDR: toBig(hi, lo), AM: order, IH: leafOnly });
    this.#ports.mmio.write64(this.#iva, word64(address));
    this.#iotlb(IOTLB.encode({ IIRG: IOTLB_G.PAGE, DID: did, IVT: true, ...this.#drain }));
  }

  pasidGlobal(): void {}
  pasidEntry(_did: number, _pasid: number): void {}
  pasidIotlb(_did: number, _pasid: number): void {}
  pasidIotlbPages(_d: number, _p: number, _hi: number, _lo: number, _order: number, _leafOnly: boolean): void {}
  deviceTlb(_sid: number, _pasid: number, _hi: number, _lo: number, _order: number): void {}
  sync(): void {}

  #context(command: Words): void {
    const done = this.#run(REGISTERS.CCMD.at, command, 'context-cache invalidation');
    if (CCMD.get(done, 'CAIG') === 0) throw new IommuError('EINVAL', 'the unit refused a context-cache invalidation');
  }

  #iotlb(command: Words): void {
    const done = this.#run(this.#iva + IOTLB_AFTER_IVA, command, 'IOTLB invalidation');
    if (IOTLB.get(done, 'IAIG') === 0) throw new IommuError('EINVAL', 'the unit refused an IOTLB invalidation');
  }

  #run(at: number, command: Words, what: string): Words {
    const { mmio, time } = this.#ports;
    let value = 0n;
    mmio.write64(at, word64(command));
    pollUntil(time, what, () => ((value = mmio.read64(at)) & BUSY) === 0n);
    return Uint32Array.of(Number(value & 0xffff_ffffn), Number(value >> 32n));
  }
}
