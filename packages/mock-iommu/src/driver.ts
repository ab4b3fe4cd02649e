import {
  type Capability,
  type DeviceCapability,
  type DeviceDescription,
  type DeviceHandle,
  type DmaPages,
  ensure,
  type IommuDriver,
  type NativeData,
  type NestedDomainOps,
  type PageRequest,
  type PageRequestSink,
  type PageResponse,
  type PagingDomainOps,
  type ReservedRegion,
  type StaticDomainOps,
  type ViommuOps,
} from '@iommukit/core';
import { HW_INFO, HW_INFO_REGISTER, MOCK_TYPE } from './abi.ts';
import { MockDevice, type MockDeviceDescription } from './device.ts';
import { nothingLive } from './live.ts';
import { MockNestedDomain } from './nested-domain.ts';
import { MockPagingDomain } from './paging-domain.ts';
import { MockViommu } from './viommu.ts';

/** The mock never translates anything, so the last answers to page requests are all it keeps of them. */
const KEPT_RESPONSES = 256;

/** The driver of an IOMMU that does not exist. It keeps its tables to itself and does what the kernel's mock does. */
export class MockDriver implements IommuDriver {
  readonly vendor = 'mock';
  readonly capabilities: Set<Capability> = new Set();
  readonly identity = staticDomain('identity');
  readonly blocked = staticDomain('blocked');
  readonly userPasidTable = true;
  readonly live = nothingLive();
  /** Answers to page requests, oldest first. */
  readonly responses: PageResponse[] = [];
  /** Where vIOMMU pages and exported buffers come from. */
  readonly pages: DmaPages;
  #sink: PageRequestSink | null = null;

  constructor(pages: DmaPages) {
    this.pages = pages;
  }

  probe(): void {
    for (const capability of CAPABILITIES) this.capabilities.add(capability);
  }

  release(): void {
    this.capabilities.clear();
  }

  probeDevice(description: DeviceDescription): MockDevice {
    this.live.devices++;
    return new MockDevice(description as MockDeviceDescription);
  }

  releaseDevice(): void {
    this.live.devices--;
  }

  capable(device: DeviceHandle, capability: DeviceCapability): boolean {
    if (capability === 'dirty-tracking') return !(device as MockDevice).noDirty;
    return capability === 'cache-coherency';
  }

  hwInfo(_device: DeviceHandle, type: number): NativeData {
    ensure(type === 0 || type === MOCK_TYPE.HW_INFO, 'EOPNOTSUPP', `no information of type ${type}`);
    return { type: MOCK_TYPE.HW_INFO, bytes: HW_INFO.encode({ test_reg: HW_INFO_REGISTER }) };
  }

  reservedRegions(): readonly ReservedRegion[] {
    return [];
  }

  allocPaging(device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    return MockPagingDomain.create(device as MockDevice, flags, data, this.live);
  }

  allocNested(_device: DeviceHandle, _parent: PagingDomainOps, flags: number, data: NativeData): NestedDomainOps {
    return MockNestedDomain.create(flags, data, null, this.live);
  }

  supportsViommu(_device: DeviceHandle, type: number): boolean {
    return type === MOCK_TYPE.VIOMMU;
  }

  allocViommu(_device: DeviceHandle, parent: PagingDomainOps, type: number, data: NativeData | null): ViommuOps {
    ensure(type === MOCK_TYPE.VIOMMU, 'EOPNOTSUPP', `no vIOMMU of type ${type}`);
    return new MockViommu(parent, data, this);
  }

  onPageRequest(sink: PageRequestSink | null): void {
    this.#sink = sink;
  }

  /** A device asks for a page. False: nobody handles it. */
  requestPage(device: DeviceHandle, request: PageRequest): boolean {
    return this.#sink?.report(device, request) ?? false;
  }

  respond(_device: DeviceHandle, response: PageResponse): void {
    this.responses.push(response);
    if (this.responses.length > KEPT_RESPONSES) this.responses.shift();
  }

  onFault(): void {}
}

const CAPABILITIES: readonly Capability[] = [
  'nest-parent',
  'nested-on-parent',
  'viommu',
  'pasid',
  'dirty-tracking',
  'hw-info',
];

function staticDomain(kind: StaticDomainOps['kind']): StaticDomainOps {
  return {
    kind,
    attach: (device) => (device as MockDevice).attach({ logsWrites: false, viommu: null }),
    attachPasid: (device, pasid) => (device as MockDevice).attachPasid(pasid, null),
    free: () => {},
  };
}
