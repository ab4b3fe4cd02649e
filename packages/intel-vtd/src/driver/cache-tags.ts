import { hiOf, loOf } from '@iommukit/bits';
import type { Features } from './features.ts';
import { type Invalidations, WHOLE_SPACE } from './invalidations.ts';

const FULL_LAST = (1n << 64n) - 1n;

/** Where translations of one domain may be cached in the unit. */
interface IotlbTag {
  readonly did: number;
  /** Type 6 selects by PASID; -1 for second-stage translations, which the domain-id alone selects. */
  readonly pasid: number;
  users: number;
}

/** A device that may cache translations of one domain. */
interface DeviceTag {
  readonly sid: number;
  readonly pasid: number;
  /** The device caches final addresses of a nested domain: which of them a second-stage range touches is unknown. */
  readonly nested: boolean;
  users: number;
}

/**
 * The caches one domain's translations can be in, counted by attachment, and their invalidation. A nesting parent also
 * carries the tags of the nested domains above it. VT-d 6.5.3.
 */
export class CacheTags {
  private readonly iotlb: IotlbTag[] = [];
  private readonly devices: DeviceTag[] = [];
  private readonly invalidations: Invalidations;
  private readonly maxOrder: number;

  constructor(invalidations: Invalidations, { cap }: Features) {
    this.invalidations = invalidations;
    this.maxOrder = cap.PSI ? cap.MAMV : -1;
  }

  /** `pasid` -1 for translations that only the domain-id selects. */
  addIotlb(did: number, pasid: number): void {
    const tag = this.iotlb.find((t) => t.did === did && t.pasid === pasid);
    if (tag) tag.users++;
    else this.iotlb.push({ did, pasid, users: 1 });
  }

  removeIotlb(did: number, pasid: number): void {
    const tag = this.iotlb.findIndex((t) => t.did === did && t.pasid === pasid);
    if (--this.iotlb[tag]!.users === 0) this.iotlb.splice(tag, 1);
  }

  addDevice(sid: number, pasid: number, nested: boolean): void {
    const tag = this.devices.find((t) => t.sid === sid && t.pasid === pasid && t.nested === nested);
    if (tag) tag.users++;
    else this.devices.push({ sid, pasid, nested, users: 1 });
  }

  removeDevice(sid: number, pasid: number, nested: boolean): void {
    const tag = this.devices.findIndex((t) => t.sid === sid && t.pasid === pasid && t.nested === nested);
    if (--this.devices[tag]!.users === 0) this.devices.splice(tag, 1);
  }

  flushAll(): void {
    this.flush(0n, FULL_LAST, false);
  }

  /**
   * Forgets `[start, last]` everywhere and waits. A descriptor takes an aligned block of a power of two, so the smallest
   * one around the range is used. `leafOnly`: no table page went away.
   */
  flush(start: bigint, last: bigint, leafOnly: boolean): void {
    const hi = hiOf(start);
    const lo = loOf(start);
    const order = blockOrder(hi ^ hiOf(last), lo ^ loOf(last));
    this.collect(alignHi(hi, order + 12), alignLo(lo, order + 12), order, leafOnly);
    this.invalidations.sync();
  }

  /** Device TLBs come after the IOTLB, or a device could fetch a translation again from it (VT-d 6.5.3). */
  private collect(hi: number, lo: number, order: number, leafOnly: boolean): void {
    const { invalidations, iotlb, devices, maxOrder } = this;
    for (const { did, pasid } of iotlb) {
      if (pasid < 0) {
        if (order > maxOrder) invalidations.iotlbDomain(did);
        else invalidations.iotlbPages(did, hi, lo, order, leafOnly);
      } else if (order >= WHOLE_SPACE) invalidations.pasidIotlb(did, pasid);
      else invalidations.pasidIotlbPages(did, pasid, hi, lo, order, leafOnly);
    }
    for (const { sid, pasid, nested } of devices) {
      if (nested) invalidations.deviceTlb(sid, pasid, 0, 0, WHOLE_SPACE);
      else invalidations.deviceTlb(sid, pasid, hi, lo, order);
    }
  }
}

/** log2, in 4 KiB pages, of the smallest aligned block that holds two addresses which differ in the given bits. */
function blockOrder(hi: number, lo: number): number {
  const bits = hi !== 0 ? 64 - Math.clz32(hi) : 32 - Math.clz32(lo);
  return bits > 12 ? bits - 12 : 0;
}

const alignLo = (lo: number, bits: number): number => (bits >= 32 ? 0 : lo & (-1 << bits));

function alignHi(hi: number, bits: number): number {
  if (bits <= 32) return hi;
  return bits >= 64 ? 0 : hi & (-1 << (bits - 32));
}
