import {
  Access,
  ExportedDmaBuf,
  type Ioas,
  IommufdFile,
  type OpenFile,
  uapi,
  VfioDeviceFile,
  vfio,
} from '../../src/index.ts';
import { type Bed, guestMemory } from './bed.ts';
import { BASE, PAGE, type Run } from './run.ts';

export interface Script {
  readonly title: string;
  /** Absent: on every bed. */
  readonly on?: (able: Bed['able']) => boolean;
  play(run: Run): void;
}

const EVERYTHING = { iova: 0n, length: 2n ** 64n - 1n };
const GUEST_BASE = 0x3_4000_0000n;

/** A guest over a nesting parent, as the vendor does it. */
function guest(run: Run) {
  const kit = run.bed.guest!;
  const device = run.bind('plain');
  const ioas = run.ioas();
  run.map(ioas, GUEST_BASE, 0x20_0000n);
  const parent = run.hwpt(device, ioas, { flags: 1 });
  const type = kit.viommuType;
  const viommu =
    type === null ? null : run.step(uapi.VIOMMU_ALLOC, { type, dev_id: device.id, hwpt_id: parent }).out_viommu_id;
  const vdevice =
    viommu === null
      ? null
      : run.step(uapi.VDEVICE_ALLOC, { viommu_id: viommu, dev_id: device.id, virt_id: 5n }).out_vdevice_id;
  const stage1 = kit.createStage1(guestMemory(run.bed.process, run.va, GUEST_BASE), 5n);
  stage1.map(BASE, GUEST_BASE + 0x1f_f000n, true);
  const { type: data_type, bytes } = stage1.data;
  const data = { data_type, data_len: bytes.length, data_uptr: run.put(bytes, 0x2000) };
  return { device, ioas, parent, viommu, vdevice, stage1, data, base: viommu ?? parent };
}

/** A VFIO device file on the run's file; returns a way to call it. */
function vfioDevice(run: Run) {
  const { process, devices } = run.bed;
  const device = new VfioDeviceFile(devices.plain.device);
  run.atEnd(() => device.close());
  const fd = process.open(run.file);
  const ask = (what: string, file: OpenFile, request: number, bytes: Uint8Array) =>
    run.call(what, file, request, run.put(bytes));
  ask('bind', device, 0x3b76, vfio.BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd }));
  return { device, ask };
}

export const SCRIPTS: readonly Script[] = [
  {
    title: 'map, map elsewhere, unmap, destroy, no device',
    play(run) {
      const ioas = run.ioas();
      run.map(ioas, BASE, PAGE * 2n);
      run.step(uapi.IOAS_MAP, { ioas_id: ioas, flags: 6, user_va: run.va, length: PAGE });
      run.step(uapi.IOAS_UNMAP, { ioas_id: ioas, iova: BASE, length: PAGE * 2n });
      run.step(uapi.DESTROY, { id: ioas });
    },
  },
  {
    title: 'mappings under two domains of two units',
    play(run) {
      const [near, far] = [run.bind('plain'), run.bind('far')];
      const ioas = run.ioas();
      run.attempt(() => near.attach(ioas));
      run.attempt(() => far.attach(ioas));
      run.map(ioas, BASE, PAGE * 3n);
      run.map(ioas, BASE + 0x20_0000n, 0x20_0000n);
      run.step(uapi.IOAS_UNMAP, { ioas_id: ioas, iova: BASE, length: PAGE * 3n });
      run.map(ioas, BASE, PAGE);
    },
  },
  {
    title: 'an HWPT over an IOAS with mappings',
    play(run) {
      const device = run.bind('plain');
      const ioas = run.ioas();
      for (let i = 0n; i < 4n; i++) run.map(ioas, BASE + i * PAGE * 2n, PAGE, run.va + i * PAGE);
      const id = run.hwpt(device, ioas);
      run.attempt(() => device.attach(id));
      run.attempt(() => device.detach());
      run.step(uapi.DESTROY, { id });
      run.hwpt(device, ioas);
    },
  },
  {
    title: 'copies between address spaces',
    play(run) {
      const [near, far] = [run.bind('plain'), run.bind('other')];
      const [a, b] = [run.ioas(), run.ioas()];
      run.attempt(() => near.attach(a));
      run.attempt(() => far.attach(b));
      run.map(a, BASE, PAGE * 2n);
      run.map(a, BASE + PAGE * 2n, PAGE * 2n);
      const copy = { flags: 7, src_ioas_id: a, length: PAGE * 2n, src_iova: BASE + PAGE };
      run.step(uapi.IOAS_COPY, { ...copy, dst_ioas_id: b, dst_iova: BASE });
      run.step(uapi.IOAS_COPY, { ...copy, dst_ioas_id: a, dst_iova: BASE + PAGE * 8n });
      run.step(uapi.IOAS_UNMAP, { ioas_id: a, ...EVERYTHING });
      run.step(uapi.IOAS_COPY, { ...copy, src_ioas_id: b, src_iova: BASE, dst_ioas_id: a, dst_iova: BASE });
    },
  },
  {
    title: 'memory files, and who pays for them',
    play(run) {
      const device = run.bind('plain');
      const ioas = run.ioas();
      run.step(uapi.OPTION, { option_id: 1, object_id: ioas, val64: 0n });
      run.attempt(() => device.attach(ioas));
      const { fd } = run.bed.process.memfd(0x8000n);
      const map = { ioas_id: ioas, flags: 7, fd, start: 0x1000n, length: PAGE * 2n };
      run.step(uapi.IOAS_MAP_FILE, { ...map, iova: BASE });
      run.step(uapi.IOAS_MAP_FILE, { ...map, iova: BASE + PAGE * 4n });
      run.step(uapi.IOAS_CHANGE_PROCESS, {});
      run.step(uapi.IOAS_UNMAP, { ioas_id: ioas, ...EVERYTHING });
    },
  },
  {
    title: 'a dma-buf that is taken back',
    play(run) {
      const device = run.bind('plain');
      const ioas = run.ioas();
      run.attempt(() => device.attach(ioas));
      const { pa } = run.bed.process.pagesOf(run.va, PAGE * 4n)[0]!;
      const buffer = new ExportedDmaBuf([{ pa, length: PAGE * 4n }]);
      const file = Object.assign(new IommufdFile(), { dmaBuf: buffer });
      const fd = run.bed.process.open(file);
      const map = { ioas_id: ioas, flags: 7, fd, start: 0n, length: PAGE * 2n, iova: BASE };
      run.step(uapi.IOAS_MAP_FILE, map);
      buffer.setRevoked(true);
      buffer.setRevoked(false);
      run.step(uapi.IOAS_MAP_FILE, { ...map, iova: BASE + PAGE * 4n });
      run.step(uapi.IOAS_UNMAP, { ioas_id: ioas, ...EVERYTHING });
    },
  },
  {
    title: 'attach, replace and detach by IOAS and by HWPT',
    play(run) {
      const device = run.bind('plain');
      const [a, b] = [run.ioas(), run.ioas()];
      run.map(a, BASE, PAGE * 2n);
      run.map(b, BASE, PAGE, run.va + PAGE * 8n);
      run.attempt(() => device.attach(a));
      run.attempt(() => device.replace(b));
      const own = run.hwpt(device, b);
      run.attempt(() => device.replace(own));
      run.attempt(() => device.replace(a));
      run.attempt(() => device.detach());
      run.attempt(() => device.attach(own));
    },
  },
  {
    title: 'two devices of one group',
    play(run) {
      const [twin, sibling] = [run.bind('twin'), run.bind('sibling')];
      const [a, b] = [run.ioas(), run.ioas()];
      run.map(a, BASE, PAGE);
      run.map(b, BASE, PAGE, run.va + PAGE);
      run.attempt(() => twin.attach(a));
      run.attempt(() => sibling.attach(a));
      run.attempt(() => sibling.replace(b));
      run.attempt(() => twin.detach());
      run.attempt(() => sibling.detach());
    },
  },
  {
    title: 'options, ranges, allow lists',
    play(run) {
      run.step(uapi.OPTION, { option_id: 0, val64: 1n });
      const device = run.bind('plain');
      const ioas = run.ioas();
      run.step(uapi.VFIO_IOAS, { op: 1, ioas_id: ioas });
      run.step(uapi.VFIO_IOAS, { op: 0 });
      run.step(uapi.OPTION, { option_id: 1, op: 1, object_id: ioas });
      const ranges = [0n, 1n, 2n].map((i) =>
        uapi.IOVA_RANGE.encode({ start: BASE + i * PAGE, last: BASE + i * PAGE + 0xfffn }),
      );
      const allowed_iovas = run.put(Buffer.concat(ranges));
      run.step(uapi.IOAS_ALLOW_IOVAS, { ioas_id: ioas, num_iovas: 3, allowed_iovas });
      run.attempt(() => device.attach(ioas));
      run.step(uapi.IOAS_IOVA_RANGES, { ioas_id: ioas, num_iovas: 16, allowed_iovas });
      run.step(uapi.IOAS_MAP, { ioas_id: ioas, flags: 6, user_va: run.va, length: PAGE });
      run.step(uapi.IOAS_ALLOW_IOVAS, { ioas_id: ioas });
      run.step(uapi.GET_HW_INFO, { dev_id: device.id, data_len: 64, data_uptr: allowed_iovas });
    },
  },
  {
    title: 'dirty tracking',
    on: ({ dirty }) => dirty,
    play(run) {
      const device = run.bind('plain');
      const ioas = run.ioas();
      run.map(ioas, BASE, PAGE * 16n);
      const hwpt_id = run.hwpt(device, ioas, { flags: 2 });
      run.attempt(() => device.attach(hwpt_id));
      run.step(uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags: 1 });
      const ask = { hwpt_id, iova: BASE, length: PAGE * 16n, page_size: PAGE, data: run.put(new Uint8Array(2)) };
      run.step(uapi.HWPT_GET_DIRTY_BITMAP, ask);
      run.step(uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id });
    },
  },
  {
    title: 'a guest: nested HWPT, invalidation, replace',
    on: ({ nest }) => nest,
    play(run) {
      const { device, ioas, base, data, stage1, viommu } = guest(run);
      const nested = run.hwpt(device, base, data);
      run.attempt(() => device.attach(nested));
      const { type: data_type, entryLength: entry_len, entryCount: entry_num, bytes } = stage1.invalidatePage(BASE);
      const entries = { data_type, entry_len, entry_num, data_uptr: run.put(bytes) };
      run.step(uapi.HWPT_INVALIDATE, { hwpt_id: viommu ?? nested, ...entries });
      run.attempt(() => device.replace(ioas));
      run.attempt(() => device.replace(nested));
      run.attempt(() => device.detach());
      run.step(uapi.DESTROY, { id: nested });
      run.hwpt(device, base, data);
    },
  },
  {
    title: 'a guest: event queue, then the device goes',
    on: ({ nest }) => nest,
    play(run) {
      const { device, viommu, vdevice } = guest(run);
      if (viommu === null) return;
      const type = run.bed.guest!.viommuType!;
      const { out_veventq_fd } = run.step(uapi.VEVENTQ_ALLOC, { viommu_id: viommu, type, veventq_depth: 4 });
      run.fd(out_veventq_fd);
      run.step(uapi.DESTROY, { id: vdevice! });
      run.step(uapi.VDEVICE_ALLOC, { viommu_id: viommu, dev_id: device.id, virt_id: 6n });
      device.unbind();
      run.bind('plain');
    },
  },
  {
    title: 'fault queues',
    on: ({ flags }) => flags,
    play(run) {
      const device = run.bind('plain');
      const ioas = run.ioas();
      const { out_fault_id: fault_id } = run.step(uapi.FAULT_QUEUE_ALLOC, {});
      const id = run.hwpt(device, ioas, { flags: 4, fault_id });
      run.attempt(() => device.attach(id));
      run.attempt(() => device.replace(ioas));
    },
  },
  {
    title: 'hardware queues',
    on: ({ queue }) => queue !== null,
    play(run) {
      const { viommu } = guest(run);
      const queue = { viommu_id: viommu!, type: run.bed.able.queue!, nesting_parent_iova: GUEST_BASE, length: PAGE };
      const first = run.step(uapi.HW_QUEUE_ALLOC, queue).out_hw_queue_id;
      const second = run.step(uapi.HW_QUEUE_ALLOC, { ...queue, index: 1, length: PAGE * 2n }).out_hw_queue_id;
      run.step(uapi.DESTROY, { id: second });
      run.step(uapi.DESTROY, { id: first });
      run.step(uapi.HW_QUEUE_ALLOC, queue);
    },
  },
  {
    title: 'PASIDs',
    on: ({ pasid }) => pasid,
    play(run) {
      const device = run.bind('plain');
      const [a, b] = [run.ioas(), run.ioas()];
      run.map(a, BASE, PAGE);
      run.map(b, BASE, PAGE, run.va + PAGE);
      const [own, one, two] = [a, a, b].map((ioas) => run.hwpt(device, ioas, { flags: 8 })) as [number, number, number];
      run.attempt(() => device.attach(one, 3));
      run.attempt(() => device.attach(own));
      run.attempt(() => device.replace(two, 3));
      run.attempt(() => device.attach(two, 200));
      run.attempt(() => device.detach(3));
      run.attempt(() => device.attach(one, 3));
    },
  },
  {
    title: 'VFIO: bind, attach, replace, type 1 with cuts',
    play(run) {
      const { device, ask } = vfioDevice(run);
      const ioas = run.ioas();
      const other = run.ioas();
      run.step(uapi.VFIO_IOAS, { op: 1, ioas_id: ioas });
      run.call('type 1', run.file, 0x3b66, 1n);
      ask('VFIO attach', device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: ioas }));
      const map = { argsz: 32, flags: 3, vaddr: run.va, iova: BASE, size: PAGE * 8n };
      ask('map', run.file, 0x3b71, vfio.TYPE1_DMA_MAP.encode(map));
      ask('info', run.file, 0x3b70, vfio.TYPE1_INFO.encode({ argsz: 24 }));
      ask(
        'VFIO unmap',
        run.file,
        0x3b72,
        vfio.TYPE1_DMA_UNMAP.encode({ argsz: 24, iova: BASE + PAGE * 2n, size: PAGE }),
      );
      ask('VFIO attach', device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: other }));
      ask('VFIO attach', device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: ioas }));
      ask('detach', device, 0x3b78, vfio.DETACH_IOMMUFD_PT.encode({ argsz: 8 }));
    },
  },
  {
    title: 'in-kernel access: pins, copies, another address space',
    play(run) {
      const device = run.bind('plain');
      const [a, b] = [run.ioas(), run.ioas()];
      run.map(a, BASE, PAGE * 2n);
      run.map(a, BASE + PAGE * 2n, PAGE * 2n);
      const user = { needsPins: true, unmap: () => {} };
      const access = run.attempt(() => Access.create(run.context, user));
      run.atEnd(() => access.destroy());
      user.unmap = () => {
        for (const pin of access.pins) access.unpin(pin);
      };
      const [from, to] = [run.context.get<Ioas>(a, 'ioas'), run.context.get<Ioas>(b, 'ioas')];
      run.attempt(() => access.attach(from));
      run.attempt(() => access.pin(BASE + PAGE, PAGE * 2n, true));
      run.attempt(() => device.attach(a));
      run.attempt(() => access.pin(BASE, PAGE, false));
      run.step(uapi.IOAS_UNMAP, { ioas_id: a, iova: BASE, length: PAGE * 2n });
      run.attempt(() => access.replace(to));
    },
  },
];
