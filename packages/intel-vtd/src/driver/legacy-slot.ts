import type { Words } from '@iommukit/bits';
import { CONTEXT_ENTRY } from '../format/index.ts';
import { store64, storePair, storeWords } from './address.ts';
import type { VtdDevice } from './device.ts';
import { DID_NONE } from './domain-ids.ts';
import { WHOLE_SPACE } from './invalidations.ts';
import type { Slot } from './slot.ts';
import type { Attachment } from './translation.ts';

const EMPTY = CONTEXT_ENTRY.encode();

/** The legacy context entries of a device, one per source-id it may use. */
export class LegacySlot implements Slot {
  readonly #device: VtdDevice;

  constructor(device: VtdDevice) {
    this.#device = device;
  }

  prepare(): void {
    this.#entries();
  }

  write(words: Words): void {
    for (const entry of this.#entries()) storeWords(this.#memory, entry, words);
  }

  /** The whole entry is 16 bytes. */
  swap(_old: Attachment, next: Words): boolean {
    for (const entry of this.#entries()) storePair(this.#memory, entry, next);
    return true;
  }

  settle(_next: Words): void {}

  hide(words: Words): void {
    for (const entry of this.#entries()) store64(this.#memory, entry, words[1]! | 0, words[0]! & ~1);
  }

  wipe(): void {
    this.write(EMPTY);
  }

  dropOld({ did, device }: Attachment): void {
    const { invalidations } = device.unit;
    for (const sid of device.sids) invalidations.contextDevice(sid, did);
    invalidations.iotlbDomain(did);
    if (device.deviceTlb) invalidations.deviceTlb(device.sid, 0, 0, 0, WHOLE_SPACE);
    invalidations.sync();
  }

  dropAbsence(did: number): void {
    const { unit, sids } = this.#device;
    const { invalidations } = unit;
    if (unit.features.cap.CM) {
      for (const sid of sids) invalidations.contextDevice(sid, DID_NONE);
      invalidations.iotlbDomain(did);
      invalidations.sync();
    } else unit.flushWriteBuffer();
  }

  get #memory() {
    return this.#device.unit.ports.memory;
  }

  #entries(): number[] {
    const { root } = this.#device.unit;
    return this.#device.sids.map((sid) => root.entry(sid));
  }
}
