import { type DeviceDescription, type DeviceHandle, ensure } from '@iommukit/core';
import { SCALABLE_CONTEXT_ENTRY } from '../format/index.ts';
import { storeWords } from './address.ts';
import { LegacySlot } from './legacy-slot.ts';
import { PasidSlot } from './pasid-slot.ts';
import { PasidTable } from './pasid-table.ts';
import type { Slot } from './slot.ts';
import type { Attachment } from './translation.ts';
import type { Unit } from './unit.ts';

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
    if (this.#pasids === null) return;
    try {
      const entries = this.sids.map((sid) => this.unit.root.entry(sid));
      for (const entry of entries) storeWords(this.unit.ports.memory, entry, this.#contextEntry(this.#pasids));
      this.#contextAdded();
    } catch (error) {
      this.#pasids.free();
      throw error;
    }
  }

  /** The reverse of {@link admit}. Every PASID is blocked already. */
  dismiss(): void {
    if (this.#pasids === null) return;
    const { root, ports, invalidations } = this.unit;
    const zero = new Uint32Array(SCALABLE_CONTEXT_ENTRY.bytes / 4);
    for (const sid of this.sids) storeWords(ports.memory, root.entry(sid), zero);
    for (const sid of this.sids) invalidations.contextDevice(sid, 0);
    invalidations.sync();
    this.#pasids.free();
  }

  #contextEntry(pasids: PasidTable): Uint32Array {
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
    for (const sid of this.sids) invalidations.contextDevice(sid, 0);
    invalidations.iotlbDomain(0);
    invalidations.sync();
  }
}
