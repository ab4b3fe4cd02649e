import type { Device, InvalidationResult, IovaRange, NativeData, NativeInvalidation } from '@iommukit/core';
import { faultQueueAlloc, getHwInfo, type HwInfo } from './commands/device.ts';
import {
  type DirtyParams,
  getDirtyBitmap,
  hwptAlloc,
  hwptInvalidate,
  nativeArray,
  setDirtyTracking,
} from './commands/hwpt.ts';
import {
  allowIovas,
  type CopyParams,
  ioasAlloc,
  ioasCopy,
  ioasMap,
  ioasMapFile,
  ioasUnmap,
  iovaRanges,
  type MapParams,
} from './commands/ioas.ts';
import { NO_DATA, sized } from './commands/native-data.ts';
import { changeProcess, OPTION, OPTION_OP, option, VFIO_IOAS_OP, vfioIoas } from './commands/options.ts';
import {
  type HwQueueAllocParams,
  hwQueueAlloc,
  type VdeviceAllocParams,
  type VeventqAllocParams,
  vdeviceAlloc,
  veventqAlloc,
  viommuAlloc,
} from './commands/viommu.ts';
import { IommufdContext } from './context.ts';
import type { FaultInjector } from './fault-injector.ts';
import type { Ioas } from './ioas/ioas.ts';
import { DeviceObject } from './objects/device.ts';
import type { FaultQueue } from './objects/fault-queue.ts';
import type { HwQueue } from './objects/hw-queue.ts';
import type { AnyHwpt } from './objects/hwpt.ts';
import type { VdeviceObject } from './objects/vdevice.ts';
import type { EventQueue } from './objects/veventq.ts';
import type { ViommuObject } from './objects/viommu.ts';
import type { PageSource, PinAccount, UserMemory } from './pages/source.ts';

/**
 * One open iommufd for TypeScript: each command is a method that answers with objects and throws
 * {@link @iommukit/core!IommuError} with the errno the ioctl would give. Objects are named by id, as in the user API.
 */
export class Iommufd {
  readonly context: IommufdContext;

  constructor(injector?: FaultInjector) {
    this.context = new IommufdContext(injector);
  }

  /** Objects go when every queue made from here is closed and every device unbound. */
  close(): void {
    this.context.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Binds a device, as its VFIO driver does; `unbind()` of the result lets it go. EINVAL, EPERM, EBUSY. */
  bind(device: Device): DeviceObject {
    return DeviceObject.create(this.context, device);
  }

  destroy(id: number): void {
    this.context.destroy(id);
  }

  ioasAlloc(flags = 0): Ioas {
    return ioasAlloc(this.context, flags);
  }

  iovaRanges(ioasId: number): { ranges: readonly IovaRange[]; alignment: bigint } {
    return iovaRanges(this.context, ioasId);
  }

  allowIovas(ioasId: number, ranges: Iterable<IovaRange>): void {
    allowIovas(this.context, ioasId, ranges);
  }

  /** Returns the iova. */
  map(user: UserMemory, params: MapParams & { readonly userVa: bigint }): bigint {
    return ioasMap(this.context, user, params);
  }

  /** Returns the iova. */
  mapFile(source: PageSource, account: PinAccount, params: MapParams & { readonly start: bigint }): bigint {
    return ioasMapFile(this.context, () => ({ source, account }), params);
  }

  /** Returns the iova. */
  copy(params: CopyParams): bigint {
    return ioasCopy(this.context, params);
  }

  /** Returns the bytes of the mappings removed. */
  unmap(ioasId: number, iova: bigint, length: bigint): bigint {
    return ioasUnmap(this.context, ioasId, iova, length);
  }

  getHugePages(ioasId: number): boolean {
    const params = { optionId: OPTION.HUGE_PAGES, op: OPTION_OP.GET, objectId: ioasId, value: 0n };
    return option(this.context, params, false) === 1n;
  }

  setHugePages(ioasId: number, on: boolean): void {
    const params = { optionId: OPTION.HUGE_PAGES, op: OPTION_OP.SET, objectId: ioasId, value: on ? 1n : 0n };
    option(this.context, params, false);
  }

  /** Selects the IOAS of the VFIO compatibility calls; null clears. */
  setVfioIoas(ioasId: number | null): void {
    vfioIoas(this.context, ioasId === null ? VFIO_IOAS_OP.CLEAR : VFIO_IOAS_OP.SET, ioasId ?? 0);
  }

  changeProcess(user: UserMemory): void {
    changeProcess(this.context, (mode) => user.accountFor(mode));
  }

  /** `ptId`: an IOAS (paging), a nesting parent or a vIOMMU (nested). */
  hwptAlloc(deviceId: number, ptId: number, options: HwptAllocOptions = {}): AnyHwpt {
    const { flags = 0, data = null, faultId = 0 } = options;
    return hwptAlloc(this.context, { flags, deviceId, ptId, faultId, data: data ? sized(data) : NO_DATA });
  }

  hwInfo(deviceId: number, flags = 0, type = 0): HwInfo {
    return getHwInfo(this.context, deviceId, flags, type);
  }

  setDirtyTracking(hwptId: number, on: boolean): void {
    setDirtyTracking(this.context, hwptId, on ? 1 : 0);
  }

  getDirtyBitmap(params: DirtyParams): void {
    getDirtyBitmap(this.context, params);
  }

  /** `id`: a nested HWPT or a vIOMMU. Never throws: see the result. */
  invalidate(id: number, request: NativeInvalidation): InvalidationResult {
    return hwptInvalidate(this.context, id, nativeArray(request));
  }

  /** Open until its `close()`. */
  faultQueueAlloc(): FaultQueue {
    return faultQueueAlloc(this.context);
  }

  viommuAlloc(deviceId: number, hwptId: number, type: number, data: NativeData | null = null): ViommuObject {
    const native = data ? sized(data) : NO_DATA;
    return viommuAlloc(this.context, { flags: 0, type, deviceId, hwptId, data: native });
  }

  vdeviceAlloc(params: VdeviceAllocParams): VdeviceObject {
    return vdeviceAlloc(this.context, params);
  }

  /** Open until its `close()`. */
  veventqAlloc(params: Omit<VeventqAllocParams, 'flags'>): EventQueue {
    return veventqAlloc(this.context, { flags: 0, ...params });
  }

  hwQueueAlloc(params: Omit<HwQueueAllocParams, 'flags'>): HwQueue {
    return hwQueueAlloc(this.context, { flags: 0, ...params });
  }
}

export interface HwptAllocOptions {
  /** ALLOC bits of core. */
  readonly flags?: number;
  readonly data?: NativeData | null;
  /** Counts only with the FAULT flag. */
  readonly faultId?: number;
}
