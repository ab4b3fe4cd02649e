import { type DeviceDescription, type DeviceHandle, type DomainOps, ensure } from '@iommukit/core';
import { ContextTable } from './context-table.ts';
import type { Smmu } from './smmu.ts';

/** Somebody whose tag (ASID, VMID) a device's translations carry, and who must know when the last device is gone. */
export interface TagHolder {
  retain(master: Master): void;
  release(master: Master): void;
}

/** What attaching asks of a domain. */
export interface SmmuDomain extends Pick<DomainOps, 'kind'> {
  /** Null: the domain's translations carry no tag. */
  readonly holder: TagHolder | null;
  /**
   * `own`: the device's own CDs, which can hold PASIDs beside; `static`: no translation, and PASIDs can stand beside;
   * `none`: the whole stream, PASIDs have no place.
   */
  readonly contexts: 'own' | 'static' | 'none';
  /** Throws IommuError for a device that cannot have this domain; changes nothing. */
  checkDevice(master: Master): void;
  /** The STE of the device's streams. Where the CDs are the device's own, puts the domain's CD in place too. */
  ste(master: Master): Uint32Array;
}

/** A domain that PASIDs can have. */
export interface PasidDomain extends SmmuDomain, TagHolder {
  cd(): Uint32Array;
}

/** A device behind this unit: all its streams are configured alike. */
export class Master implements DeviceHandle {
  readonly description: DeviceDescription;
  readonly maxPasids: number;
  readonly smmu: Smmu;
  /** Domain of requests without a PASID. */
  domain: SmmuDomain;
  /** Domains of PASIDs. */
  readonly pasids = new Map<number, PasidDomain>();
  private readonly ssidBits: number;
  private table: ContextTable | null = null;

  constructor(smmu: Smmu, description: DeviceDescription, blocked: SmmuDomain) {
    this.smmu = smmu;
    this.description = description;
    this.domain = blocked;
    const { ssidBits, twoLevelCd } = smmu.features;
    this.ssidBits = ContextTable.usableBits(Math.min(ssidBits, description.pasidBits), twoLevelCd);
    this.maxPasids = this.ssidBits === 0 ? 0 : 2 ** this.ssidBits;
  }

  get sids(): readonly number[] {
    return this.description.requesterIds;
  }

  /** The device's context descriptors, allocated at first use. Throws IommuError ENOMEM. */
  contexts(): ContextTable {
    this.table ??= new ContextTable(this.smmu.ports, this.smmu.queue, this.sids, this.ssidBits);
    return this.table;
  }

  /** Writes the entry of each of the device's streams. */
  writeSte(ste: Uint32Array): void {
    for (const sid of this.sids) this.smmu.streams.write(sid, ste);
  }

  /** The entries of its streams as they stand, for {@link putBackSte}. */
  readSte(): readonly Uint32Array[] {
    return this.sids.map((sid) => this.smmu.streams.read(sid));
  }

  /** Puts entries back under a unit that may not be answering. */
  putBackSte(stes: readonly Uint32Array[]): void {
    this.sids.forEach((sid, i) => {
      this.smmu.streams.putBack(sid, stes[i]!);
    });
  }

  /** No STE refers to the device's CDs any more. */
  free(): void {
    this.table?.free();
    this.table = null;
  }
}

/** The driver's own handle. Throws IommuError EINVAL for anybody else's. */
export function asMaster(device: DeviceHandle): Master {
  ensure(device instanceof Master, 'EINVAL', 'the device sits behind no SMMUv3');
  return device;
}

/** The same, of this unit. */
export function masterOf(smmu: Smmu, device: DeviceHandle): Master {
  const master = asMaster(device);
  ensure(master.smmu === smmu, 'EINVAL', 'the device sits behind another SMMU');
  return master;
}
