import type { Words } from '@iommukit/bits';
import { IommuError } from '@iommukit/core';
import { FSPM, PASID_ENTRY, PGTT } from '../format/index.ts';
import { FirstStageFormat } from './first-stage-format.ts';
import { VtdPagingDomain } from './paging-domain.ts';
import { rewriteEntry } from './rewrite.ts';
import type { Unit } from './unit.ts';

/**
 * A domain on first-stage tables. Nothing absent is ever cached, so mapping needs no invalidation; only the lower half of
 * the canonical addresses is used (VT-d 3.6).
 */
export class FirstStageDomain extends VtdPagingDomain<FirstStageFormat> {
  readonly nestParent = false;
  readonly pgtt = PGTT.FIRST_STAGE;
  #snoop = false;

  constructor(unit: Unit) {
    const { cap, hostAddressBits } = unit.features;
    const addressBits = cap.MGAW + 1;
    const levels = addressBits > 48 && cap.FS5LP ? 5 : 4;
    const format = new FirstStageFormat({
      levels,
      outputBits: Math.min(hostAddressBits, 52),
      gigabytePages: cap.FS1GP,
    });
    super(unit, format, Math.min(addressBits, levels === 5 ? 56 : 47));
  }

  contextEntry(): Words {
    throw new IommuError('EINVAL', 'first-stage tables need scalable mode');
  }

  /** AW is ignored for a first stage (VT-d 9.6). Kernels write it, and QEMU bounds input addresses by it. */
  pasidEntry(did: number): Words {
    return PASID_ENTRY.encode({
      P: true,
      AW: this.unit.features.widestAw,
      PGTT: PGTT.FIRST_STAGE,
      DID: did,
      PWSNP: this.unit.features.ecap.SMPWCS,
      PGSNP: this.#snoop,
      FSPM: this.format.levels === 5 ? FSPM.LEVELS_5 : FSPM.LEVELS_4,
      FSPTPTR: this.table.root,
    });
  }

  syncMap(): void {}

  /** Snooping is a property of the entry (PGSNP): those that stand are changed, later ones are born with it. */
  enforceCacheCoherency(): boolean {
    if (!this.unit.features.ecap.SC) return false;
    if (this.#snoop) return true;
    this.unit.gate.run(() => {
      for (const attachment of this.attachments) rewriteEntry(attachment, 'PGSNP', true);
    });
    this.#snoop = true;
    return true;
  }

  protected tagPasid(pasid: number): number {
    return pasid;
  }
}
