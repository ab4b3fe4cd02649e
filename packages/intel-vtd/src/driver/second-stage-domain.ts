import type { Words } from '@iommukit/bits';
import { CONTEXT_ENTRY, PASID_ENTRY, PGTT, TT } from '../format/index.ts';
import type { VtdDevice } from './device.ts';
import { type Features, tableLevels } from './features.ts';
import { VtdPagingDomain } from './paging-domain.ts';
import { rewriteEntry } from './rewrite.ts';
import { SecondStageFormat } from './second-stage-format.ts';
import type { Attachment } from './translation.ts';
import type { Unit } from './unit.ts';

export interface SecondStageOptions {
  readonly nestParent: boolean;
  readonly dirtyTracking: boolean;
}

/** A domain on second-stage tables: the only kind in legacy mode, and the parent of nested domains. */
export class SecondStageDomain extends VtdPagingDomain<SecondStageFormat> {
  readonly pgtt = PGTT.SECOND_STAGE;
  readonly nestParent: boolean;
  /** Present only on domains made with DIRTY_TRACKING. */
  setDirtyTracking?: (on: boolean) => void;
  readAndClearDirty?: (iova: bigint, size: bigint, keep: boolean, report: (iova: bigint, size: bigint) => void) => void;
  /** Entries of nested domains above this one; they carry the second-stage fields too. */
  readonly #nested = new Set<Attachment>();
  #logging = false;

  constructor(unit: Unit, { nestParent, dirtyTracking }: SecondStageOptions) {
    const { width, levels } = shapeOf(unit.features);
    const format = new SecondStageFormat({
      levels,
      outputBits: Math.min(unit.features.hostAddressBits, 52),
      superpages: unit.features.cap.SSLPS,
      needsWrite: nestParent,
    });
    super(unit, format, width);
    this.nestParent = nestParent;
    if (!dirtyTracking) return;
    this.setDirtyTracking = (on) => this.#setLogging(on);
    this.readAndClearDirty = (iova, size, keep, report) => this.table.readAndClearDirty(iova, size, keep, report);
  }

  /** The fields of a PASID entry that describe this table; nested entries share them (PGTT aside). */
  get entryFields() {
    return {
      AW: this.format.levels - 2,
      SSADE: this.#logging,
      SSPTPTR: this.table.root,
      PWSNP: this.unit.features.ecap.SMPWCS,
    };
  }

  /** A guest's tables lie below this: inside the aperture, and representable in a PASID entry. */
  get tableLimit(): bigint {
    const host = 1n << BigInt(this.unit.features.hostAddressBits);
    return host < this.geometry.last + 1n ? host : this.geometry.last + 1n;
  }

  /** Leaves are being written with SNP; nested entries then carry PGSNP. */
  get snoops(): boolean {
    return this.format.snoop;
  }

  contextEntry(did: number, device: VtdDevice): Words {
    return CONTEXT_ENTRY.encode({
      P: true,
      TT: device.deviceTlb ? TT.SECOND_STAGE_ATS : TT.SECOND_STAGE,
      SSPTPTR: this.table.root,
      AW: this.format.levels - 2,
      DID: did,
    });
  }

  pasidEntry(did: number): Words {
    return PASID_ENTRY.encode({ P: true, PGTT: PGTT.SECOND_STAGE, DID: did, ...this.entryFields });
  }

  /** Caching mode remembers absent second-stage entries; else at most the write buffer holds new ones back. */
  syncMap(iova: bigint, size: bigint): void {
    const { gate, features } = this.unit;
    if (features.cap.CM) gate.run(() => this.tags.flush(iova, iova + size - 1n, true));
    else if (features.cap.RWBF) gate.run(() => this.unit.flushWriteBuffer());
  }

  /** Leaves written from now on carry SNP; the core asks before it maps anything. */
  enforceCacheCoherency(): boolean {
    if (!this.unit.features.ecap.SC) return false;
    this.format.snoop = true;
    return true;
  }

  /** A nested domain on top came to life: what this table maps is now cached under the nested domain's id too. */
  nestedAttached(attachment: Attachment): void {
    const { did, device, pasid } = attachment;
    this.#nested.add(attachment);
    this.tags.addIotlb(did, -1);
    if (device.deviceTlb) this.tags.addDevice(device.sid, pasid, true);
  }

  nestedDetached(attachment: Attachment): void {
    const { did, device, pasid } = attachment;
    this.#nested.delete(attachment);
    this.tags.removeIotlb(did, -1);
    if (device.deviceTlb) this.tags.removeDevice(device.sid, pasid, true);
  }

  protected tagPasid(): number {
    return -1;
  }

  /** SSADE in every entry over this table; entries changed before a failure are changed back. */
  #setLogging(on: boolean): void {
    this.unit.gate.run(() => {
      const done: Attachment[] = [];
      try {
        for (const attachment of [...this.attachments, ...this.#nested]) {
          rewriteEntry(attachment, 'SSADE', on);
          done.push(attachment);
        }
      } catch (error) {
        undo(done, this.#logging);
        throw error;
      }
      this.#logging = on;
    });
  }
}

function undo(attachments: readonly Attachment[], logging: boolean): void {
  for (const attachment of attachments) {
    try {
      rewriteEntry(attachment, 'SSADE', logging);
    } catch {
      // The unit does not answer; the first error says so.
    }
  }
}

/** The widest input the unit takes and the shallowest table that covers it (VT-d 3.7). */
function shapeOf({ cap }: Features): { width: number; levels: number } {
  const depths = tableLevels(cap.SAGAW);
  const width = Math.min(cap.MGAW + 1, 12 + 9 * depths.at(-1)!);
  return { width, levels: depths.find((levels) => 12 + 9 * levels >= width)! };
}
