import type { Words } from '@iommukit/bits';
import { type DeviceDescription, type DeviceHandle, ensure } from '@iommukit/core';
import { SCALABLE_CONTEXT_ENTRY } from '../format/index.ts';
import { storeWords } from './address.ts';
import { DID_NONE } from './domain-ids.ts';
import { LegacySlot } from './legacy-slot.ts';
import { PasidSlot } from './pasid-slot.ts';
import { PasidTable } from './pasid-table.ts';
import type { Slot } from './slot.ts';
import type { Attachment } from './translation.ts';
import type { Unit } from './unit.ts';

const NO_CONTEXT = SCALABLE_CONTEXT_ENTRY.encode();

/** A device behind a unit. In scalable mode its context entry stands from probe to release; what is blocked is PASIDs. */
export class VtdDevice implements DeviceHandle {
  readonly description: DeviceDescription;
  readonly unit: Unit;
  readonly maxPasids: number;
  /** Source-ids, the device's own first; bus 15:8, devfn 7:0. */
  readonly sids: readonly number[];
  /** Its translations may be cached in the device. */
  readonly deviceTlb: boolean;
  /** By PASID, 0 for requests without one; what is not here is blocked. */
  readonly attachments = new Map<number, Attachment>();
  readonly #pasids: PasidTable | null;

  /** Throws EINVAL for ids that are no source-ids, ENOMEM. */
  constructor(unit: Unit, description: DeviceDescription) {
    const { requesterIds, name, pasidBits, ats } = description;
    ensure(requesterIds.length > 0, 'EINVAL', `${name} has no source-id`);
    for (const sid of requesterIds)
      ensure(Number.isInteger(sid) && sid >= 0 && sid <= 0xffff, 'EINVAL', `${sid} of ${name} is no source-id`);
    const { features, ports } = unit;
    const width = Math.min(pasidBits, features.pasidBits);
    this.unit = unit;
    this.description = description;
    this.sids = requesterIds;
    this.maxPasids = width > 0 ? 2 ** width : 0;
    this.deviceTlb = ats && features.deviceTlb;
    this.#pasids = features.scalable ? new PasidTable(ports.memory, ports.pages, width) : null;
  }

  /** The device's own source-id. */
  get sid(): number {
    return this.sids[0]!;
  }

  /** The entry that decides about one PASID's requests (0: those without). */
  slot(pasid: number): Slot {
    return this.#pasids === null ? new LegacySlot(this) : new PasidSlot(this, this.#pasids, pasid);
  }

  /** Scalable mode: points the context entries of all ids at the device's PASID directory. ENOMEM, ETIMEDOUT. */
  admit(): void {
    const pasids = this.#pasids;
    if (pasids === null) return;
    try {
      for (const sid of this.sids) this.unit.root.entry(sid);
    } catch (error) {
      pasids.free();
      throw error;
    }
    this.#forgettingOnFailure(pasids, () => {
      this.#writeContexts(this.#contextEntry(pasids));
      this.#contextAdded();
    });
  }

  /** The reverse of {@link admit}. Every PASID is blocked already. */
  dismiss(): void {
    const pasids = this.#pasids;
    if (pasids === null) return;
    const { invalidations } = this.unit;
    this.#forgettingOnFailure(pasids, () => {
      this.#writeContexts(NO_CONTEXT);
      for (const sid of this.sids) invalidations.contextDevice(sid, DID_NONE);
      invalidations.sync();
    });
    pasids.free();
  }

  /** A unit that does not answer may have seen the directory: its pages are not used again before the unit is down. */
  #forgettingOnFailure(pasids: PasidTable, change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#writeContexts(NO_CONTEXT);
      this.unit.quarantine(pasids.abandon());
      throw error;
    }
  }

  #writeContexts(words: Words): void {
    const { root, ports } = this.unit;
    for (const sid of this.sids) storeWords(ports.memory, root.entry(sid), words);
  }

  #contextEntry(pasids: PasidTable): Words {
    return SCALABLE_CONTEXT_ENTRY.encode({
      P: true,
      DTE: this.deviceTlb,
      PASIDE: this.maxPasids > 0,
      PDTS: pasids.pdts,
      PASIDDIRPTR: BigInt(pasids.directory),
    });
  }

  /** Caching mode remembers the absence of an entry, under domain-id 0 (VT-d 6.1). */
  #contextAdded(): void {
    const { features, invalidations } = this.unit;
    if (!features.cap.CM) return;
    for (const sid of this.sids) invalidations.contextDevice(sid, DID_NONE);
    invalidations.iotlbDomain(DID_NONE);
    invalidations.sync();
  }
}
