import type { GuestStage1, NativeInvalidation } from '@iommukit/core';
import { type OpenFile, uapi, type ViommuObject } from '@iommukit/iommufd';
import { equal, ok, refuses } from '../expect.ts';
import type { BoundDevice, User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

const { DESTROY, HWPT_ALLOC, HWPT_INVALIDATE, HW_QUEUE_ALLOC, VDEVICE_ALLOC, VEVENTQ_ALLOC, VIOMMU_ALLOC } = uapi;

const NEST_PARENT = 1;
const GUEST_BASE = 0x3_4000_0000n;
const GUEST_BYTES = 0x40_0000n;
const VIRTUAL_ID = 5n;
const POLL_IN = 1;

/** A guest as a VMM sets it up by ioctls. */
interface Guest extends BoundDevice {
  readonly ioas: number;
  readonly parent: number;
  readonly viommu: number | null;
  readonly vdevice: number | null;
  readonly nested: number;
  readonly stage1: GuestStage1;
  /** A page of guest memory mapped at `iova` by the guest; where it is in host memory. */
  page(iova: bigint, writable?: boolean): bigint;
}

function guest(user: User): Guest {
  const kit = user.rig.guestKit;
  const bound = user.device('b');
  const dev_id = bound.object.id;
  const ioas = user.ioas();
  const block = user.map(ioas, GUEST_BASE, GUEST_BYTES);
  const parent = user.hwpt(bound, ioas, { flags: NEST_PARENT });
  const viommu =
    kit.viommuType === null
      ? null
      : user.ask(VIOMMU_ALLOC, { type: kit.viommuType, dev_id, hwpt_id: parent }).out_viommu_id;
  const vdevice =
    viommu === null ? null : user.ask(VDEVICE_ALLOC, { viommu_id: viommu, dev_id, virt_id: VIRTUAL_ID }).out_vdevice_id;
  const memory = user.guest(GUEST_BASE, block);
  const stage1 = kit.createStage1(memory, VIRTUAL_ID);
  const nested = user.hwpt(bound, viommu ?? parent, dataOf(user, stage1.data));
  const page = (iova: bigint, writable = true) => {
    const gpa = memory.alloc(0x1000);
    stage1.map(iova, gpa, writable);
    return memory.toHost(gpa);
  };
  return { ...bound, ioas, parent, viommu, vdevice, nested, stage1, page };
}

const dataOf = (user: User, { type, bytes }: GuestStage1['data']) => ({
  data_type: type,
  data_len: bytes.length,
  data_uptr: user.put(bytes, 0x3000),
});

const invalidation = (user: User, { viommu, nested }: Guest, request: NativeInvalidation) => ({
  hwpt_id: viommu ?? nested,
  data_uptr: user.put(request.bytes, 0x4000),
  data_type: request.type,
  entry_len: request.entryLength,
  entry_num: request.entryCount,
});

function invalidate(user: User, made: Guest, request: NativeInvalidation): void {
  equal(user.ask(HWPT_INVALIDATE, invalidation(user, made, request)).entry_num, request.entryCount, 'entries done');
}

const joined = (...parts: readonly NativeInvalidation[]): NativeInvalidation => ({
  ...parts[0]!,
  entryCount: parts.reduce((sum, { entryCount }) => sum + entryCount, 0),
  bytes: Buffer.concat(parts.map(({ bytes }) => bytes)),
});

/** A bad entry of the same shape as `good`, and its errno. */
function badEntry(user: User, good: NativeInvalidation) {
  const alike = user.rig.guestKit
    .badInvalidations(VIRTUAL_ID)
    .find(({ value }) => value.type === good.type && value.entryLength === good.entryLength && value.entryCount === 1);
  ok(alike !== undefined, 'the guest kit has no bad entry of the common shape');
  return alike;
}

/** One event with the guest's id waits in a queue, and only one. */
function tellsOnce(user: User, file: OpenFile): void {
  equal(file.poll() & POLL_IN, POLL_IN, 'a queue with an event');
  const length = file.read(user.scratch, 256, user.process);
  ok(length > 8, `${length} bytes are no event`);
  const words = new Uint32Array(user.bytes(user.scratch, length & ~3).slice().buffer);
  equal(words[0]!, 0, 'flags');
  equal(words[1]!, 0, 'sequence');
  ok([...words.subarray(2)].includes(Number(VIRTUAL_ID)), "the event has not the guest's id");
  equal(file.read(user.scratch, 256, user.process), 0, 'bytes after the event');
}

export const iommufdNested = userCases([
  {
    id: 'nested',
    title:
      "a device attached to a nested HWPT goes through the guest's table and the parent's, and the guest invalidates",
    needs: ['nest-parent'],
    run(user) {
      const made = guest(user);
      const { object, dma, nested, stage1 } = made;
      object.attach(nested);
      const [first, second] = [made.page(BASE), made.page(BASE + PAGE)];
      dma.reaches(BASE, first);
      dma.reaches(BASE + PAGE, second);
      dma.refused('read', BASE + PAGE * 2n, { reason: 'not-present', reported: 'any' });
      stage1.unmap(BASE);
      invalidate(user, made, stage1.invalidatePage(BASE));
      dma.refused('read', BASE, { reason: 'not-present', reported: 'any' });
      dma.reaches(BASE + PAGE, second);
      stage1.unmap(BASE + PAGE);
      invalidate(user, made, stage1.invalidateAll());
      dma.refused('read', BASE + PAGE, { reason: 'not-present', reported: 'any' });
    },
    without(user) {
      const bound = user.device();
      const ioas = user.ioas();
      const alloc = { dev_id: bound.object.id, pt_id: ioas };
      user.refused('EOPNOTSUPP', HWPT_ALLOC, { ...alloc, flags: NEST_PARENT }, 'a nesting parent');
      const plain = user.hwpt(bound, ioas);
      const data = { data_type: 1, data_len: 24, data_uptr: user.put(new Uint8Array(24)) };
      user.refused(
        ['EOPNOTSUPP', 'EINVAL'],
        HWPT_ALLOC,
        { ...alloc, pt_id: plain, ...data },
        'nesting on a plain HWPT',
      );
      const viommu = { type: 1, dev_id: bound.object.id, hwpt_id: plain };
      user.refused(['EOPNOTSUPP', 'EINVAL'], VIOMMU_ALLOC, viommu, 'a vIOMMU');
      const entries = { hwpt_id: plain, data_uptr: data.data_uptr, entry_len: 24, entry_num: 1 };
      user.refused('EINVAL', HWPT_INVALIDATE, entries, 'invalidating a paging HWPT');
    },
  },
  {
    id: 'nested-host-unmaps',
    title: "memory that the host unmaps is gone from the guest's translations; a new mapping is found",
    needs: ['nest-parent'],
    run(user) {
      const { object, dma, nested, stage1, ioas } = guest(user);
      const gpa = GUEST_BASE + GUEST_BYTES;
      const old = user.map(ioas, gpa, PAGE);
      object.attach(nested);
      stage1.map(BASE, gpa, true);
      dma.reaches(BASE, old.pa);
      equal(user.unmap(ioas, gpa, PAGE), PAGE, 'bytes unmapped');
      for (const access of ['read', 'write'] as const) dma.refused(access, BASE, { reported: 'any' });
      const next = user.map(ioas, gpa, PAGE);
      dma.reaches(BASE, next.pa);
    },
  },
  {
    id: 'nested-replace',
    title: 'a device goes from an IOAS to a nested HWPT over it and back, and to the parent itself',
    needs: ['nest-parent'],
    run(user) {
      const made = guest(user);
      const { object, dma, nested, parent, ioas } = made;
      const inside = made.page(BASE);
      const direct = user.map(ioas, BASE, PAGE);
      object.attach(ioas);
      dma.reaches(BASE, direct.pa);
      object.replace(nested);
      dma.reaches(BASE, inside);
      object.replace(parent);
      dma.reaches(BASE, direct.pa);
      object.replace(nested);
      dma.reaches(BASE, inside);
      object.detach();
      dma.refused('read', BASE, { reported: 'blocked' });
    },
  },
  {
    id: 'invalidate-progress',
    title: 'an invalidation stops at the first bad entry, says how many it did, and has done those',
    needs: ['nest-parent'],
    run(user) {
      const made = guest(user);
      const { object, dma, nested, stage1 } = made;
      object.attach(nested);
      const [first, second] = [made.page(BASE), made.page(BASE + PAGE)];
      dma.reaches(BASE, first);
      dma.reaches(BASE + PAGE, second);
      const [good, last] = [stage1.invalidatePage(BASE), stage1.invalidatePage(BASE + PAGE)];
      const bad = badEntry(user, good);
      stage1.unmap(BASE);
      const { errno, out } = user.call(HWPT_INVALIDATE, invalidation(user, made, joined(good, bad.value, last)));
      equal(errno, bad.errno, `errno of ${bad.title}`);
      equal(out.entry_num, good.entryCount, 'entries done');
      dma.refused('read', BASE, { reason: 'not-present', reported: 'any' });
      dma.reaches(BASE + PAGE, second);
      const alone = user.call(HWPT_INVALIDATE, invalidation(user, made, bad.value));
      equal(alone.out.entry_num, 0, 'entries done of a bad one');
    },
  },
  {
    id: 'invalidate-refusals',
    title: 'an invalidation that cannot begin has done nothing, and says so',
    needs: ['nest-parent'],
    run(user) {
      const made = guest(user);
      const good = invalidation(user, made, made.stage1.invalidateAll());
      const bad: [readonly ('EINVAL' | 'ENOENT' | 'EOPNOTSUPP' | 'EFAULT')[], object, string][] = [
        [['EINVAL'], { data_uptr: 0n }, 'no pointer'],
        [['EINVAL'], { entry_len: 0 }, 'entries of no length'],
        [['EINVAL'], { entry_len: 4097 }, 'entries longer than a page'],
        [['EINVAL'], { entry_num: (1 << 19) + 1 }, 'too many entries'],
        [['EINVAL', 'EOPNOTSUPP'], { data_type: 0x7fff }, 'an unknown type'],
        [['ENOENT'], { hwpt_id: 0x7000 }, 'no such object'],
        [['EINVAL'], { hwpt_id: made.parent }, 'a paging HWPT'],
        [['EOPNOTSUPP'], { __reserved: 1 }, 'a reserved field'],
        [['EFAULT'], { data_uptr: 8n }, 'entries that are not there'],
      ];
      for (const [errno, values, what] of bad) {
        const { errno: found, out } = user.call(HWPT_INVALIDATE, { ...good, ...values });
        ok(found !== null && (errno as string[]).includes(found), `${what}: ${found}, not ${errno.join(' or ')}`);
        equal(out.entry_num, 0, `${what}: entries done`);
      }
      if (made.viommu === null) return;
      const { errno, out } = user.call(HWPT_INVALIDATE, { ...good, hwpt_id: made.nested });
      equal(errno, 'EOPNOTSUPP', "invalidating the vIOMMU's HWPT");
      equal(out.entry_num, 0, 'entries done');
    },
  },
  {
    id: 'nested-lifetime',
    title: 'parent, vIOMMU and nested HWPT keep each other from being destroyed; the guest goes from the top',
    needs: ['nest-parent'],
    run(user) {
      const { object, nested, parent, viommu, vdevice, ioas } = guest(user);
      object.attach(nested);
      for (const [id, what] of [
        [ioas, 'the IOAS'],
        [parent, 'the parent'],
        [nested, 'the nested HWPT'],
        ...(viommu === null ? [] : ([[viommu, 'the vIOMMU']] as const)),
      ] as const)
        user.refused('EBUSY', DESTROY, { id }, `destroying ${what}`);
      object.detach();
      user.ask(DESTROY, { id: nested });
      if (viommu !== null) {
        user.refused('EBUSY', DESTROY, { id: parent }, 'destroying the parent of a vIOMMU');
        user.ask(DESTROY, { id: vdevice! });
        user.ask(DESTROY, { id: viommu });
      }
      user.ask(DESTROY, { id: parent });
      user.ask(DESTROY, { id: ioas });
    },
  },
  {
    id: 'nested-refusals',
    title: 'nested HWPTs are made only on parents and vIOMMUs, from good data, and a refusal leaves nothing',
    needs: ['nest-parent'],
    run(user) {
      const made = guest(user);
      const { object, dma, nested, parent, viommu, stage1, ioas } = made;
      object.attach(nested);
      const pa = made.page(BASE);
      dma.reaches(BASE, pa);
      const base = viommu ?? parent;
      const good = { dev_id: object.id, pt_id: base, ...dataOf(user, stage1.data) };
      const before = [user.fd.context.table.size, user.rig.machine.pages.livePages];
      const plain = user.hwpt(made, ioas);
      const other = user.ask(uapi.IOAS_ALLOC, {}).out_ioas_id;
      user.refused(['EINVAL', 'EOPNOTSUPP'], HWPT_ALLOC, { ...good, pt_id: plain }, 'nesting on a plain HWPT');
      user.refused('EINVAL', HWPT_ALLOC, { ...good, pt_id: nested }, 'nesting on a nested HWPT');
      user.refused('EINVAL', HWPT_ALLOC, { ...good, pt_id: 0x7000 }, 'nesting on nothing');
      user.refused('EINVAL', HWPT_ALLOC, { ...good, data_len: 0 }, 'a type without a length');
      user.refused('EOPNOTSUPP', HWPT_ALLOC, { ...good, flags: NEST_PARENT }, 'a nested nesting parent');
      user.refused('EFAULT', HWPT_ALLOC, { ...good, data_uptr: 8n }, 'data that are not there');
      for (const { title, value, errno } of user.rig.guestKit.badNestedData())
        if (value.type !== 0)
          user.refused(errno as 'EINVAL', HWPT_ALLOC, { ...good, ...dataOf(user, value) }, `nested data: ${title}`);
      for (const id of [plain, other]) user.ask(DESTROY, { id });
      equal(user.fd.context.table.size, before[0]!, 'objects');
      equal(user.rig.machine.pages.livePages, before[1]!, 'pages that drivers hold');
      dma.reaches(BASE, pa);
    },
  },
  {
    id: 'viommu',
    title: 'a vIOMMU sits on a nesting parent, one vDEVICE a device; the other way to nest is EOPNOTSUPP',
    needs: ['viommu'],
    run(user) {
      const made = guest(user);
      const { object, parent, viommu, stage1, ioas } = made;
      const type = user.rig.guestKit.viommuType!;
      const dev_id = object.id;
      const data = dataOf(user, stage1.data);
      user.refused('EOPNOTSUPP', HWPT_ALLOC, { dev_id, pt_id: parent, ...data }, 'nesting on the parent');
      const alloc = { type, dev_id, hwpt_id: parent };
      const plain = user.hwpt(made, ioas);
      user.refused('EINVAL', VIOMMU_ALLOC, { ...alloc, hwpt_id: plain }, 'a vIOMMU on a plain HWPT');
      user.refused('ENOENT', VIOMMU_ALLOC, { ...alloc, hwpt_id: ioas }, 'a vIOMMU on an IOAS');
      user.refused('EOPNOTSUPP', VIOMMU_ALLOC, { ...alloc, type: 0 }, 'a vIOMMU of no type');
      user.refused('EOPNOTSUPP', VIOMMU_ALLOC, { ...alloc, type: 0x7fff }, 'a vIOMMU of an unknown type');
      const vdevice = { viommu_id: viommu!, dev_id };
      user.refused('EEXIST', VDEVICE_ALLOC, { ...vdevice, virt_id: 9n }, 'a second vDEVICE');
      const other = user.device('pasid2').object.id;
      user.refused('EEXIST', VDEVICE_ALLOC, { ...vdevice, dev_id: other, virt_id: VIRTUAL_ID }, 'a taken virtual id');
      user.refused('ENOENT', VDEVICE_ALLOC, { viommu_id: parent, dev_id: other }, 'a vDEVICE on a parent');
      const queue = { viommu_id: viommu!, type: 0x7fff, length: PAGE, nesting_parent_iova: GUEST_BASE };
      user.refused('EOPNOTSUPP', HW_QUEUE_ALLOC, queue, 'a hardware queue of an unknown type');
    },
    without(user) {
      const bound = user.device();
      const plain = user.hwpt(bound, user.ioas());
      const alloc = { type: 1, dev_id: bound.object.id, hwpt_id: plain };
      user.refused('EOPNOTSUPP', VIOMMU_ALLOC, alloc, 'a vIOMMU');
      user.refused('ENOENT', VDEVICE_ALLOC, { viommu_id: plain, dev_id: bound.object.id }, 'a vDEVICE');
      user.refused('ENOENT', VEVENTQ_ALLOC, { viommu_id: plain, type: 1, veventq_depth: 4 }, 'an event queue');
    },
  },
  {
    id: 'vdevice-dies',
    title: 'unbinding a device kills its vDEVICE, whose id answers ENOENT and is not handed out again',
    needs: ['viommu'],
    run(user) {
      const made = guest(user);
      const { vdevice, viommu, nested } = made;
      user.unbind(made);
      user.refused('ENOENT', DESTROY, { id: vdevice! }, 'destroying the dead vDEVICE');
      const again = user.device('b');
      ok(again.object.id !== vdevice && user.ioas() !== vdevice, 'the dead id was handed out');
      const next = { viommu_id: viommu!, dev_id: again.object.id, virt_id: VIRTUAL_ID };
      ok(user.ask(VDEVICE_ALLOC, next).out_vdevice_id !== vdevice, 'the dead id was handed out');
      again.object.attach(nested);
      again.dma.reaches(BASE, made.page(BASE));
    },
  },
  {
    id: 'events',
    title: "a fault of the guest's own making reaches its event queue with the guest's device id, once",
    needs: ['viommu'],
    run(user) {
      const made = guest(user);
      const { object, dma, nested, viommu } = made;
      const type = user.rig.guestKit.viommuType!;
      const queue = { viommu_id: viommu!, type, veventq_depth: 4 };
      const { out_veventq_fd: fd } = user.ask(VEVENTQ_ALLOC, queue);
      user.refused('EEXIST', VEVENTQ_ALLOC, queue, 'a second queue of the type');
      const target = user.process.file(fd);
      ok(target.kind === 'ours', 'the queue has no file');
      const { file } = target;
      object.attach(nested);
      made.page(BASE);
      equal(file.read(user.scratch, 256, user.process), 0, 'bytes of an empty queue');
      dma.refused('read', BASE + PAGE, { reported: 'any' });
      const { ops } = user.fd.context.get<ViommuObject>(viommu!, 'viommu').viommu;
      if (ops.onEvent === undefined) equal(file.poll() & POLL_IN, 0, 'events of a vendor that has none');
      else tellsOnce(user, file);
      user.process.closeFd(fd);
    },
  },
  {
    id: 'nested-other-unit',
    title: "a guest's objects take no device of another unit",
    needs: ['nest-parent'],
    run(user) {
      const { rig } = user;
      const { nested, parent, viommu, stage1 } = guest(user);
      const there = user.bind(rig.device('b', rig.addUnit()));
      const alloc = { dev_id: there.object.id, pt_id: viommu ?? parent, ...dataOf(user, stage1.data) };
      user.refused('EINVAL', HWPT_ALLOC, alloc, 'a nested HWPT for a device of another unit');
      refuses('EINVAL', () => there.object.attach(nested), 'attaching a device of another unit');
      refuses('EINVAL', () => there.object.attach(parent), 'attaching it to the parent');
      const dev_id = there.object.id;
      if (viommu === null) return;
      const vdevice = { viommu_id: viommu, dev_id, virt_id: 9n };
      user.refused('EINVAL', VDEVICE_ALLOC, vdevice, 'a vDEVICE for a device of another unit');
      const type = rig.guestKit.viommuType!;
      user.refused('EINVAL', VIOMMU_ALLOC, { type, dev_id, hwpt_id: parent }, "a vIOMMU on another unit's parent");
    },
  },
]);
