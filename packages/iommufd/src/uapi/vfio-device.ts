import { type Device, ensure, IommuError } from '@iommukit/core';
import { DeviceObject } from '../objects/device.ts';
import { errnoOf, guard } from './errno.ts';
import { IommufdFile } from './file.ts';
import type { MappedRegion, OpenFile } from './open-file.ts';
import type { UserProcess } from './process.ts';
import { store } from './user-bytes.ts';
import { vfioArgs } from './vfio-compat.ts';
import * as S from './vfio-structs.ts';

/** Requests of VFIO's device interface that have to do with an iommufd. */
export const VFIO_DEVICE = { BIND_IOMMUFD: 0x3b76, ATTACH_IOMMUFD_PT: 0x3b77, DETACH_IOMMUFD_PT: 0x3b78 } as const;

/** Flag of ATTACH and DETACH: the structure names a PASID. */
const FLAG_PASID = 1;

/** One open `/dev/vfio/devices/…`: binds its device to an iommufd and attaches it. Closing it unbinds. */
export class VfioDeviceFile implements OpenFile {
  readonly device: Device;
  onReadable: (() => void) | null = null;
  #bound: DeviceObject | null = null;
  readonly #attached = new Set<number>();

  constructor(device: Device) {
    this.device = device;
  }

  /** What binding made; null before. */
  get object(): DeviceObject | null {
    return this.#bound;
  }

  ioctl(request: number, arg: bigint, user: UserProcess): number {
    return guard(() => {
      if (request === VFIO_DEVICE.BIND_IOMMUFD) return this.#bind(arg, user);
      ensure(this.#bound !== null, 'EINVAL', 'the device is not bound');
      if (request === VFIO_DEVICE.ATTACH_IOMMUFD_PT) return this.#attach(this.#bound, arg, user);
      if (request === VFIO_DEVICE.DETACH_IOMMUFD_PT) return this.#detach(this.#bound, arg, user);
      throw new IommuError('ENOTTY', `no command 0x${request.toString(16)}`);
    });
  }

  read(): number {
    return errnoOf('EINVAL');
  }

  write(): number {
    return errnoOf('EINVAL');
  }

  poll(): number {
    return 0;
  }

  mmap(): MappedRegion | number {
    return errnoOf('EINVAL');
  }

  close(): void {
    const bound = this.#bound;
    if (!bound) return;
    this.#bound = null;
    this.#attached.clear();
    bound.unbind();
    bound.context.drop();
  }

  /** EINVAL: flags, argsz, bound already; EBADF; EBADFD: no iommufd; then as {@link DeviceObject.create}. */
  #bind(arg: bigint, user: UserProcess): number {
    const { iommufd } = vfioArgs(S.BIND_IOMMUFD, 0, arg, user);
    ensure(iommufd >= 0, 'EINVAL', 'no descriptor');
    ensure(this.#bound === null, 'EINVAL', 'the device is bound');
    const target = user.file(iommufd);
    const file = target.kind === 'ours' ? target.file : null;
    ensure(file instanceof IommufdFile, 'EBADFD', 'not an iommufd');
    const object = DeviceObject.create(file.context, this.device);
    file.context.hold();
    this.#bound = object;
    try {
      reply(user, arg, S.BIND_IOMMUFD.fields.out_devid.at, object.id);
    } catch (error) {
      this.close();
      throw error;
    }
    return 0;
  }

  /** Attached already on that PASID means replace. */
  #attach(object: DeviceObject, arg: bigint, user: UserProcess): number {
    const args = vfioArgs(S.ATTACH_IOMMUFD_PT, FLAG_PASID, arg, user, S.ATTACH_IOMMUFD_PT.endOf('pt_id'));
    const pasid = this.#pasid(args.flags, () => vfioArgs(S.ATTACH_IOMMUFD_PT, FLAG_PASID, arg, user).pasid);
    const fresh = !this.#attached.has(pasid);
    const id = fresh ? object.attach(args.pt_id, pasid) : object.replace(args.pt_id, pasid);
    this.#attached.add(pasid);
    try {
      reply(user, arg, S.ATTACH_IOMMUFD_PT.fields.pt_id.at, id);
    } catch (error) {
      this.#leave(object, pasid);
      throw error;
    }
    return 0;
  }

  #detach(object: DeviceObject, arg: bigint, user: UserProcess): number {
    const args = vfioArgs(S.DETACH_IOMMUFD_PT, FLAG_PASID, arg, user, S.DETACH_IOMMUFD_PT.endOf('flags'));
    this.#leave(
      object,
      this.#pasid(args.flags, () => vfioArgs(S.DETACH_IOMMUFD_PT, FLAG_PASID, arg, user).pasid),
    );
    return 0;
  }

  #pasid(flags: number, fetchPasid: () => number): number {
    return (flags & FLAG_PASID) === 0 ? 0 : fetchPasid();
  }

  #leave(object: DeviceObject, pasid: number): void {
    if (this.#attached.delete(pasid)) object.detach(pasid);
  }
}

function reply(user: UserProcess, arg: bigint, at: number, id: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, id, true);
  store(user, arg + BigInt(at), bytes);
}
