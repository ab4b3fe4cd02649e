import { type Device, ensure, isIommuError, type ReservedRegion } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { Ioas } from '../ioas/ioas.ts';
import { OwnedGroup } from './group.ts';
import { type AnyHwpt, HwptPaging } from './hwpt.ts';
import { IommufdObject } from './object.ts';
import type { VdeviceObject } from './vdevice.ts';

/** A device bound to one open file by its consuming driver (VFIO). Its binder holds it: DESTROY is always EBUSY. */
export class DeviceObject extends IommufdObject {
  readonly type = 'device';
  readonly device: Device;
  readonly owned: OwnedGroup;
  /** The guest's view of it; at most one, on any vIOMMU. */
  vdevice: VdeviceObject | null = null;
  /** Unbinding has begun: no vDEVICE may be made any more. */
  destroying = false;

  private constructor(context: IommufdContext, device: Device, owned: OwnedGroup) {
    super(context);
    this.device = device;
    this.owned = owned;
    this.retain();
  }

  /** Binds. EINVAL: not cache-coherent, or firmware needs a 1:1 map; EPERM: another owner; EBUSY. */
  static create(context: IommufdContext, device: Device): DeviceObject {
    ensure(device.capable('cache-coherency'), 'EINVAL', 'DMA of the device is not cache-coherent');
    context.injector.use('alloc');
    const owned = OwnedGroup.claim(context, device);
    try {
      return context.publish(new DeviceObject(context, device, owned));
    } catch (error) {
      owned.unclaim();
      throw error;
    }
  }

  /** Lets the device go: its vDEVICE dies (the id stays dead), what is attached is detached. */
  unbind(): void {
    this.destroying = true;
    this.vdevice?.revoke();
    for (const pasid of [...this.owned.group.pasids, 0]) this.detach(pasid);
    this.release();
    this.context.destroyObject(this);
  }

  dispose(): void {
    this.owned.unclaim();
  }

  hwpt(pasid = 0): AnyHwpt | null {
    return this.owned.has(this, pasid) ? this.owned.hwptOf(pasid) : null;
  }

  /**
   * Attaches to an HWPT, or to an IOAS (an automatic HWPT that fits, or a new one). Returns the HWPT's id.
   * ENOENT: no such id; EINVAL: wrong type, does not fit; EBUSY: attached already; EADDRINUSE: reserved ranges in use.
   */
  attach(ptId: number, pasid = 0): number {
    const target = this.#target(ptId);
    return (target.type === 'ioas' ? this.#attachIoas(target, pasid) : this.#attachHwpt(target, pasid)).id;
  }

  /** Moves every device attached on that PASID. EINVAL: this one is not attached. */
  replace(ptId: number, pasid = 0): number {
    const target = this.#target(ptId);
    ensure(this.owned.has(this, pasid), 'EINVAL', 'the device is not attached');
    return (target.type === 'ioas' ? this.#replaceIoas(target, pasid) : this.#replaceHwpt(target, pasid)).id;
  }

  /** Unknown PASID: nothing happens. */
  detach(pasid = 0): void {
    if (!this.owned.has(this, pasid)) return;
    const hwpt = this.owned.detach(this, pasid);
    if (pasid === 0) hwpt.paging.ioas.space.unreserve(this);
    if (this.owned.hwptOf(pasid) === null) hwpt.fault?.cancel(this, pasid);
    dropAutomatic(hwpt);
  }

  #target(ptId: number): Ioas | AnyHwpt {
    const object = this.context.any(ptId);
    const fits = object.type === 'ioas' || object.type === 'hwpt-paging' || object.type === 'hwpt-nested';
    ensure(fits, 'EINVAL', `a ${object.type} is nothing to attach to`);
    return object as Ioas | AnyHwpt;
  }

  #attachHwpt(hwpt: AnyHwpt, pasid: number): AnyHwpt {
    ensure(!this.owned.has(this, pasid), 'EBUSY', 'the device is attached already');
    const current = this.owned.hwptOf(pasid);
    ensure(current === null || current === hwpt, 'EINVAL', 'the group is on another HWPT');
    if (pasid === 0) this.#reserve(hwpt.paging.ioas);
    try {
      this.owned.attach(this, pasid, hwpt);
    } catch (error) {
      if (pasid === 0) hwpt.paging.ioas.space.unreserve(this);
      throw error;
    }
    return hwpt;
  }

  #attachIoas(ioas: Ioas, pasid: number): AnyHwpt {
    const found = this.#tryAutomatic(ioas, (hwpt) => this.#attachHwpt(hwpt, pasid));
    if (found) return found;
    const hwpt = HwptPaging.create(ioas, this.device, { automatic: true });
    try {
      this.#attachHwpt(hwpt, pasid);
    } catch (error) {
      hwpt.dispose();
      throw error;
    }
    try {
      hwpt.fill();
      return this.context.publish(hwpt);
    } catch (error) {
      this.#undoAttach(hwpt, pasid);
      throw error;
    }
  }

  #undoAttach(hwpt: HwptPaging, pasid: number): void {
    this.owned.detach(this, pasid);
    if (pasid === 0) hwpt.ioas.space.unreserve(this);
    hwpt.dispose();
  }

  #replaceHwpt(hwpt: AnyHwpt, pasid: number): AnyHwpt {
    const old = this.owned.hwptOf(pasid)!;
    if (old === hwpt) return hwpt;
    const move = pasid === 0 && old.paging.ioas !== hwpt.paging.ioas;
    const devices = [...this.owned.devicesOf(pasid)];
    if (move) reserveAll(devices, hwpt.paging.ioas);
    try {
      this.owned.replace(this, pasid, hwpt);
    } catch (error) {
      if (move) for (const device of devices) hwpt.paging.ioas.space.unreserve(device);
      throw error;
    }
    if (move) for (const device of devices) old.paging.ioas.space.unreserve(device);
    for (const device of devices) old.fault?.cancel(device, pasid);
    dropAutomatic(old);
    return hwpt;
  }

  #replaceIoas(ioas: Ioas, pasid: number): AnyHwpt {
    const found = this.#tryAutomatic(ioas, (hwpt) => this.#replaceHwpt(hwpt, pasid));
    if (found) return found;
    const hwpt = HwptPaging.create(ioas, this.device, { automatic: true });
    try {
      hwpt.fill();
      this.context.publish(hwpt);
    } catch (error) {
      hwpt.dispose();
      throw error;
    }
    try {
      return this.#replaceHwpt(hwpt, pasid);
    } catch (error) {
      this.context.destroyObject(hwpt);
      throw error;
    }
  }

  /** Automatic HWPTs of the IOAS in order of creation; EINVAL means try the next. */
  #tryAutomatic(ioas: Ioas, use: (hwpt: HwptPaging) => AnyHwpt): AnyHwpt | null {
    for (const user of ioas.domains) {
      if (!(user instanceof HwptPaging) || !user.automatic) continue;
      try {
        return use(user);
      } catch (error) {
        if (!isIommuError(error) || error.errno !== 'EINVAL') throw error;
      }
    }
    return null;
  }

  #reserve(ioas: Ioas): void {
    const regions = this.device.reservedRegions();
    checkMsiWindows(regions);
    this.context.injector.use('alloc');
    ioas.space.reserve(this, exclusive(regions));
  }
}

function reserveAll(devices: readonly DeviceObject[], ioas: Ioas): void {
  const done: DeviceObject[] = [];
  try {
    for (const device of devices) {
      ioas.context.injector.use('alloc');
      ioas.space.reserve(device, exclusive(device.device.reservedRegions()));
      done.push(device);
    }
  } catch (error) {
    for (const device of done) ioas.space.unreserve(device);
    throw error;
  }
}

/** EINVAL when a device has more than one software MSI window, or both kinds. Checked on attach, not on replace. */
function checkMsiWindows(regions: readonly ReservedRegion[]): void {
  const software = regions.filter(({ type }) => type === 'sw-msi').length;
  const hardware = regions.some(({ type }) => type === 'msi');
  ensure(software <= 1 && !(software > 0 && hardware), 'EINVAL', 'the MSI windows contradict each other');
}

/** Relaxable regions do not hinder a user. */
const exclusive = (regions: readonly ReservedRegion[]) => regions.filter(({ type }) => type !== 'direct-relaxable');

/** An automatic HWPT goes with its last attachment, unless something else holds it. */
function dropAutomatic(hwpt: AnyHwpt): void {
  if (hwpt instanceof HwptPaging && hwpt.automatic && hwpt.users === 0) hwpt.context.destroyObject(hwpt);
}
