import { uapi, VfioDeviceFile, vfio } from '@iommukit/iommufd';
import { equal, ok, refuses } from '../expect.ts';
import { errnoName, type User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

const { DESTROY, FAULT_QUEUE_ALLOC, HWPT_ALLOC, IOAS_UNMAP } = uapi;

const FAULT_ID_VALID = 4;
const NEST_PARENT = 1;

/** Pages of tables and queues that drivers hold. */
const live = (user: User): number => user.rig.machine.pages.livePages;

function deviceCall(user: User, file: VfioDeviceFile, request: number, bytes: Uint8Array): void {
  equal(errnoName(file.ioctl(request, user.put(bytes), user.process)), null, `errno of 0x${request.toString(16)}`);
}

export const iommufdLifetime = userCases([
  {
    id: 'destroy',
    title: 'what is referred to is not destroyed; ids are of one kind, and the lowest free one comes back',
    needs: [],
    run(user) {
      const bound = user.device();
      const before = live(user);
      const ioas = user.ioas();
      user.map(ioas, BASE, PAGE);
      const hwpt = user.hwpt(bound, ioas);
      user.refused('EBUSY', DESTROY, { id: bound.object.id }, 'destroying a bound device');
      user.refused('EBUSY', DESTROY, { id: ioas }, 'destroying an IOAS with an HWPT');
      user.refused('ENOENT', DESTROY, { id: 0 }, 'destroying nothing');
      user.refused('ENOENT', IOAS_UNMAP, { ioas_id: hwpt, length: PAGE }, 'an HWPT taken for an IOAS');
      user.ask(DESTROY, { id: hwpt });
      equal(live(user), before, 'pages that drivers hold');
      equal(user.hwpt(bound, ioas), hwpt, 'id of the next object');
      user.ask(DESTROY, { id: hwpt });
      user.ask(DESTROY, { id: ioas });
      equal(user.ioas(), ioas, 'id of the next IOAS');
    },
  },
  {
    id: 'close-order',
    title: 'a file closed before its device keeps working until the device goes; then nothing is left',
    needs: [],
    run(user) {
      const dma = user.rig.device('b');
      // What a driver keeps for a device once it was attached.
      const domain = dma.attached();
      dma.detach();
      domain.free();
      const before = live(user);
      const device = new VfioDeviceFile(dma.device);
      const fd = user.process.open(user.file);
      deviceCall(user, device, 0x3b76, vfio.BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd }));
      const ioas = user.ioas();
      const { pa } = user.map(ioas, BASE, PAGE);
      deviceCall(user, device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: ioas }));
      user.process.closeFd(fd);
      ok(!user.fd.context.closed, 'the file is gone while its device is bound');
      dma.reaches(BASE, pa);
      device.close();
      dma.refused('read', BASE, { reported: 'blocked' });
      user.checkClosed();
      equal(live(user), before, 'pages that drivers hold');
    },
  },
  {
    id: 'vfio-device',
    title: "attaching by VFIO's device file again means replace, and closing it detaches",
    needs: [],
    run(user) {
      const dma = user.rig.device('b');
      const device = new VfioDeviceFile(dma.device);
      const fd = user.process.open(user.file);
      deviceCall(user, device, 0x3b76, vfio.BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd }));
      const blocks = [user.ioas(), user.ioas()].map((ioas) => ({ ioas, pa: user.map(ioas, BASE, PAGE).pa }));
      for (const { ioas, pa } of [...blocks, ...blocks]) {
        deviceCall(user, device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: ioas }));
        dma.reaches(BASE, pa);
      }
      deviceCall(user, device, 0x3b78, vfio.DETACH_IOMMUFD_PT.encode({ argsz: 8 }));
      dma.refused('read', BASE, { reported: 'blocked' });
      deviceCall(user, device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: blocks[0]!.ioas }));
      dma.reaches(BASE, blocks[0]!.pa);
      device.close();
      dma.refused('read', BASE, { reported: 'blocked' });
    },
  },
  {
    id: 'fault-queue',
    title: 'a fault queue belongs to HWPTs that can fault, stays while one names it, and reads as empty',
    needs: [],
    run(user) {
      const bound = user.device();
      const ioas = user.ioas();
      const { out_fault_id: id, out_fault_fd: fd } = user.ask(FAULT_QUEUE_ALLOC, {});
      const target = user.process.file(fd);
      ok(target.kind === 'ours', 'the queue has no file');
      equal(target.file.read(user.scratch, 400, user.process), 0, 'bytes of an empty queue');
      equal(target.file.poll() & 1, 0, 'an empty queue to poll');
      const alloc = { dev_id: bound.object.id, pt_id: ioas, fault_id: id };
      const both = { ...alloc, flags: FAULT_ID_VALID | NEST_PARENT };
      user.refused('EOPNOTSUPP', HWPT_ALLOC, both, 'a nesting parent that faults');
      const flags = FAULT_ID_VALID;
      const plain = bound.dma.device.driver.plainPagingOnly === true;
      if (plain) user.refused('EOPNOTSUPP', HWPT_ALLOC, { ...alloc, flags }, 'an HWPT with a flag');
      else {
        const before = live(user);
        user.refused('ENOENT', HWPT_ALLOC, { ...alloc, flags, fault_id: ioas }, 'an IOAS for a queue');
        equal(live(user), before, 'pages that drivers hold');
        const hwpt = user.hwpt(bound, ioas, { ...alloc, flags });
        bound.object.attach(hwpt);
        user.refused('EBUSY', DESTROY, { id }, 'destroying a queue in use');
        bound.object.detach();
        user.ask(DESTROY, { id: hwpt });
      }
      user.refused('EBUSY', DESTROY, { id }, 'destroying an open queue');
      user.process.closeFd(fd);
      user.ask(DESTROY, { id });
    },
  },
  {
    id: 'no-reply',
    title: 'an object whose id cannot be told is not made',
    needs: [],
    run(user) {
      const bound = user.device();
      const ioas = user.ioas();
      const before = [user.fd.context.table.size, live(user)];
      const bytes = HWPT_ALLOC.encode({ dev_id: bound.object.id, pt_id: ioas });
      const pa = user.rig.ram.take(PAGE);
      user.rig.ram.write(pa, bytes);
      user.process.map(0x5000_0000_0000n, PAGE, pa, false);
      const result = user.file.ioctl(0x3b89, 0x5000_0000_0000n, user.process);
      equal(errnoName(result), 'EFAULT', 'errno of a reply that cannot be written');
      equal(user.fd.context.table.size, before[0]!, 'objects');
      equal(live(user), before[1]!, 'pages that drivers hold');
      refuses('ENOENT', () => bound.object.attach(ioas + 1), 'attaching to what was not made');
    },
  },
]);
