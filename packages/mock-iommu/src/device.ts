import { type DeviceDescription, type DeviceHandle, ensure, IommuError } from '@iommukit/core';
import { DEV_CACHE_DEFAULT, MOCK_PASID_WIDTH, MOCK_SLOTS, PASID_RESERVED } from './abi.ts';
import type { MockViommu } from './viommu.ts';

/** A mock device may be one that cannot log writes. */
export interface MockDeviceDescription extends DeviceDescription {
  readonly noDirty?: boolean;
}

/** Which domains a device may be pointed at, as the mock sees it. */
export interface MockTarget {
  /** Made with DIRTY_TRACKING. */
  readonly logsWrites: boolean;
  /** The vIOMMU a nested domain was made on. */
  readonly viommu: MockViommu | null;
}

/** A device behind the mock. Nothing translates for it; it holds what the test commands look at. */
export class MockDevice implements DeviceHandle {
  readonly description: DeviceDescription;
  readonly maxPasids: number;
  readonly noDirty: boolean;
  /** What a vIOMMU's invalidations clear. */
  readonly cache = new Uint32Array(MOCK_SLOTS).fill(DEV_CACHE_DEFAULT);
  /** The vIOMMU whose nested domain the device's own requests go through, and its id there when it was attached. */
  viommu: MockViommu | null = null;
  virtualId = 0n;
  #failsNext = false;

  constructor(description: MockDeviceDescription) {
    const bits = Math.min(description.pasidBits, MOCK_PASID_WIDTH);
    this.description = description;
    this.maxPasids = bits > 0 ? 2 ** bits : 0;
    this.noDirty = description.noDirty ?? false;
  }

  /** EINVAL: logs no writes; ENOENT: a nested domain of a vIOMMU that does not know the device. */
  attach(target: MockTarget): void {
    this.#check(target);
    const { viommu } = target;
    const virtualId = viommu ? viommu.virtualIdOf(this) : 0n;
    if (viommu === this.viommu) return;
    this.viommu = viommu;
    this.virtualId = virtualId;
  }

  /** null blocks the PASID. ENOMEM: every second set in a row of {@link PASID_RESERVED}. */
  attachPasid(pasid: number, target: MockTarget | null): void {
    if (target) this.#check(target);
    if (pasid !== PASID_RESERVED) return;
    const fails = target !== null && this.#failsNext;
    this.#failsNext = target !== null && !fails;
    if (fails) throw new IommuError('ENOMEM', 'this PASID fails every second time');
  }

  #check({ logsWrites }: MockTarget): void {
    ensure(!(logsWrites && this.noDirty), 'EINVAL', 'the device cannot log writes');
  }
}
