import { type Device, ensure, type Group } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { DeviceObject } from './device.ts';
import type { AnyHwpt } from './hwpt.ts';

/** Devices of a group that share one HWPT on one PASID (0 = their own requests). */
interface Attachment {
  hwpt: AnyHwpt;
  /** Named in page-fault records: who made the attachment, or replaced it last. */
  maker: DeviceObject;
  readonly devices: Set<DeviceObject>;
}

/** What iommufd knows of a group: which file owns it, and what its devices are attached to. Groups outlive files. */
const OWNED = new WeakMap<Group, OwnedGroup>();

/** A group owned by one open file. All devices of it, bound or not, follow the same HWPT. */
export class OwnedGroup {
  readonly group: Group;
  readonly context: IommufdContext;
  #claims = 0;
  readonly #attachments = new Map<number, Attachment>();

  private constructor(group: Group, context: IommufdContext) {
    this.group = group;
    this.context = context;
  }

  /** Claims the device's group for a file. EPERM: another owns it; EBUSY: somebody else attached domains; EINVAL: firmware
   *  needs a 1:1 mapping that blocking would break. */
  static claim(context: IommufdContext, { group }: Device): OwnedGroup {
    const owned = OWNED.get(group);
    ensure(owned === undefined || owned.context === context, 'EPERM', 'another file owns the group');
    if (owned === undefined) {
      const free = group.domain === group.blocked && group.pasids.length === 0;
      ensure(free, 'EBUSY', 'the group has domains already');
      const direct = group.reservedRegions().some(({ type }) => type === 'direct');
      ensure(!direct, 'EINVAL', 'firmware needs a 1:1 mapping for a device of the group');
    }
    const mine = owned ?? new OwnedGroup(group, context);
    OWNED.set(group, mine);
    mine.#claims++;
    return mine;
  }

  /** What iommufd knows of a group, if a file owns it. */
  static of(group: Group): OwnedGroup | null {
    return OWNED.get(group) ?? null;
  }

  unclaim(): void {
    if (--this.#claims === 0) OWNED.delete(this.group);
  }

  hwptOf(pasid: number): AnyHwpt | null {
    return this.#attachments.get(pasid)?.hwpt ?? null;
  }

  devicesOf(pasid: number): ReadonlySet<DeviceObject> {
    return this.#attachments.get(pasid)?.devices ?? new Set();
  }

  has(device: DeviceObject, pasid: number): boolean {
    return this.#attachments.get(pasid)?.devices.has(device) ?? false;
  }

  /** Who the page-fault records of an attachment name. */
  makerOf(pasid: number): DeviceObject | null {
    return this.#attachments.get(pasid)?.maker ?? null;
  }

  /** Some PASID (not the devices' own requests) is attached. */
  get usesPasids(): boolean {
    return [...this.#attachments.keys()].some((pasid) => pasid !== 0);
  }

  /** The first device of a group moves it; later ones only join. */
  attach(device: DeviceObject, pasid: number, hwpt: AnyHwpt): void {
    const current = this.#attachments.get(pasid);
    if (!current) {
      checkFaults(device, hwpt);
      this.#checkPasidUse(pasid, hwpt);
      this.context.injector.use('vendor');
      this.group.attach(hwpt.domain, pasid);
      this.#attachments.set(pasid, { hwpt, maker: device, devices: new Set([device]) });
    } else current.devices.add(device);
    hwpt.retain();
  }

  /** Moves all attached devices at once, without a blocked window. Returns what they were on. */
  replace(device: DeviceObject, pasid: number, hwpt: AnyHwpt): AnyHwpt {
    const current = this.#attachments.get(pasid);
    ensure(current !== undefined, 'EINVAL', 'nothing is attached');
    checkFaults(device, hwpt);
    this.#checkPasidUse(pasid, hwpt);
    this.context.injector.use('vendor');
    this.group.replace(hwpt.domain, pasid);
    const old = current.hwpt;
    for (let i = 0; i < current.devices.size; i++) {
      hwpt.retain();
      old.release();
    }
    current.hwpt = hwpt;
    current.maker = device;
    return old;
  }

  /** Returns the HWPT the device left; the last one blocks the group (or the PASID). */
  detach(device: DeviceObject, pasid: number): AnyHwpt {
    const current = this.#attachments.get(pasid)!;
    current.devices.delete(device);
    if (current.devices.size === 0) {
      this.group.detach(pasid);
      this.#attachments.delete(pasid);
    }
    current.hwpt.release();
    return current.hwpt;
  }

  #checkPasidUse(pasid: number, hwpt: AnyHwpt): void {
    if (pasid === 0) {
      ensure(!this.usesPasids || hwpt.pasidCompatible, 'EINVAL', 'the HWPT does not go with PASIDs');
      return;
    }
    ensure(hwpt.pasidCompatible, 'EINVAL', 'the HWPT does not go with PASIDs');
    const rid = this.hwptOf(0);
    ensure(rid === null || rid.pasidCompatible, 'EINVAL', "the device's own HWPT does not go with PASIDs");
  }
}

/** A virtual function's page requests cannot be told from its siblings'. EINVAL. */
function checkFaults({ device }: DeviceObject, { fault }: AnyHwpt): void {
  const { pri, virtualFunction = false } = device.description;
  ensure(fault === null || !pri || !virtualFunction, 'EINVAL', 'page faults of a virtual function');
}
