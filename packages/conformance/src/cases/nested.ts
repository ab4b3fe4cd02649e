import { ALLOC } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, ok, refuses } from '../expect.ts';
import type { Nest } from '../rig/nest.ts';
import { type Rig, RW } from '../rig/rig.ts';
import type { RigDevice } from '../rig/rig-device.ts';
import { BASE, scene } from './scene.ts';

/** Guests map 4 KiB pages. */
const PAGE = 0x1000n;

function guest(rig: Rig): { readonly device: RigDevice; readonly nest: Nest } {
  const device = rig.device('a');
  const nest = rig.nest(device);
  device.attach(nest.domain);
  return { device, nest };
}

export const nested = casesOf('nested', [
  {
    id: 'two-stages',
    title: "a device reaches memory through its guest's table and the host's",
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      const second = nest.page(BASE + PAGE);
      device.reaches(BASE, pa);
      device.reaches(BASE + PAGE, second);
      device.refused('read', BASE + PAGE * 2n, { reason: 'not-present' });
    },
    without(rig) {
      const { device } = rig.device('a');
      refuses('EOPNOTSUPP', () => device.allocPaging(ALLOC.NEST_PARENT), 'a nesting parent');
      const plain = rig.device('a').paging();
      const data = { type: 1, bytes: new Uint8Array(24) };
      refuses(['EOPNOTSUPP', 'EINVAL'], () => plain.allocNested(device, data), 'a nested domain on a plain one');
      refuses(['EOPNOTSUPP', 'EINVAL'], () => plain.allocViommu(device, 1), 'a vIOMMU on a plain domain');
    },
  },
  {
    id: 'parent-only',
    title: 'nesting needs a parent that was made for it',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const plain = device.paging();
      if (nest.viommu)
        refuses('EINVAL', () => plain.allocViommu(device.device, nest.kit.viommuType!), 'a vIOMMU on a plain domain');
      else refuses('EINVAL', () => plain.allocNested(device.device, nest.stage1.data), 'nesting on a plain domain');
    },
  },
  {
    id: 'one-way',
    title: 'the other way to nest is EOPNOTSUPP',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      ok(rig.has('viommu') !== rig.has('nested-on-parent'), 'a vendor nests in one of two ways');
      if (nest.viommu) {
        const { viommu } = nest;
        refuses('EOPNOTSUPP', () => nest.parent.allocNested(device.device, nest.stage1.data), 'nesting on the parent');
        refuses('EOPNOTSUPP', () => nest.domain.invalidate(nest.stage1.invalidateAll()), 'invalidating the domain');
        refuses('EOPNOTSUPP', () => nest.parent.allocViommu(device.device, 0x7fff), 'an unknown type of vIOMMU');
        refuses('EBUSY', () => viommu.free(), 'freeing a vIOMMU in use');
      } else refuses('EOPNOTSUPP', () => nest.parent.allocViommu(device.device, 1), 'a vIOMMU');
    },
  },
  {
    id: 'guest-cannot-leave',
    title: 'a guest reaches nothing outside its own memory, whatever its table says',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const { base, host, bytes } = nest.memory;
      nest.stage1.map(BASE, base + bytes, true);
      nest.stage1.map(BASE + PAGE, host, true);
      nest.stage1.map(BASE + PAGE * 2n, 0n, true);
      for (let i = 0n; i < 3n; i++)
        for (const access of ['read', 'write'] as const)
          device.refused(access, BASE + i * PAGE, { reason: 'not-present' });
    },
  },
  {
    id: 'guest-read-only',
    title: "a page the guest maps read-only is not written, though the host's is writable",
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE, false);
      device.reads(BASE, pa);
      device.refused('write', BASE, { reason: 'permission' });
    },
  },
  {
    id: 'invalidate-page',
    title: 'a guest changes a page and invalidates it: the new one counts',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const first = nest.page(BASE);
      const kept = nest.page(BASE + PAGE);
      device.reaches(BASE, first);
      device.reaches(BASE + PAGE, kept);
      nest.stage1.unmap(BASE);
      const { done, error } = nest.invalidate(nest.stage1.invalidatePage(BASE));
      ok(error === null && done >= 1, `the invalidation stopped: ${error?.message}`);
      device.refused('read', BASE, { reason: 'not-present' });
      device.reaches(BASE + PAGE, kept);
      const second = nest.page(BASE);
      nest.invalidate(nest.stage1.invalidatePage(BASE));
      device.reaches(BASE, second);
    },
  },
  {
    id: 'invalidate-all',
    title: 'one invalidation of the whole space serves many pages',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      for (let i = 0n; i < 20n; i++) device.reaches(BASE + i * PAGE, nest.page(BASE + i * PAGE));
      for (let i = 0n; i < 20n; i++) nest.stage1.unmap(BASE + i * PAGE);
      const { error } = nest.invalidate(nest.stage1.invalidateAll());
      equal(error, null, 'error of the invalidation');
      for (let i = 0n; i < 20n; i++) device.refused('read', BASE + i * PAGE, { reason: 'not-present' });
    },
  },
  {
    id: 'host-unmaps',
    title: "memory the host takes away is gone from the guest's translations too",
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const { parent } = nest;
      const page = parent.granule;
      const gpa = nest.memory.base + nest.memory.bytes;
      const pa = rig.ram.take(page, page);
      parent.map(gpa, pa, page, RW);
      nest.stage1.map(BASE, gpa, true);
      device.reaches(BASE, pa);
      equal(parent.unmap(gpa, page), page, 'bytes unmapped');
      for (const access of ['read', 'write'] as const) device.refused(access, BASE, { reason: 'not-present' });
      const next = rig.ram.take(page, page);
      parent.map(gpa, next, page, RW);
      device.reaches(BASE, next);
    },
  },
  {
    id: 'host-flushes',
    title: "a flush of the parent reaches the guest's translations",
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      device.reaches(BASE, pa);
      nest.stage1.unmap(BASE);
      nest.parent.flush();
      nest.invalidate(nest.stage1.invalidateAll());
      device.refused('read', BASE, { reason: 'not-present' });
    },
  },
  {
    id: 'replace',
    title: 'a device goes from a nested domain to a plain one and back',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      device.reaches(BASE, pa);
      const plain = device.paging();
      const page = plain.granule;
      const plainPa = rig.ram.take(page, page);
      plain.map(BASE, plainPa, page, RW);
      device.replace(plain);
      device.reaches(BASE, plainPa);
      device.replace(nest.domain);
      device.reaches(BASE, pa);
      device.detach();
      device.refused('read', BASE, { reported: 'blocked' });
    },
  },
  {
    id: 'two-guests',
    title: "two guests use one address and one virtual id, and an invalidation of one's is not the other's",
    needs: ['nest-parent'],
    run(rig) {
      const { device: a, nest: first } = guest(rig);
      const b = rig.device('b');
      const second = rig.nest(b);
      b.attach(second.domain);
      const [pa, other] = [first.page(BASE), second.page(BASE)];
      a.reaches(BASE, pa);
      b.reaches(BASE, other);
      first.stage1.unmap(BASE);
      first.invalidate(first.stage1.invalidateAll());
      a.refused('read', BASE, { reason: 'not-present' });
      b.reaches(BASE, other);
      second.stage1.unmap(BASE);
      second.invalidate(second.stage1.invalidatePage(BASE));
      b.refused('read', BASE, { reason: 'not-present' });
    },
  },
  {
    id: 'parent-beside',
    title: 'a nesting parent also serves a device directly, beside its guest',
    needs: ['nest-parent'],
    run(rig) {
      const { device: a, nest } = guest(rig);
      const pa = nest.page(BASE);
      const b = rig.device('b');
      b.attach(nest.parent);
      a.reaches(BASE, pa);
      b.reaches(nest.memory.base + 0x8000n, nest.memory.host + 0x8000n);
      b.detach();
      a.reaches(BASE, pa);
    },
  },
  {
    id: 'references',
    title: 'a parent with a nested domain or vIOMMU is not freed',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      refuses('EBUSY', () => nest.parent.free(), 'freeing a parent in use');
      refuses('EBUSY', () => nest.domain.free(), 'freeing an attached nested domain');
      device.detach();
      refuses('EBUSY', () => nest.parent.free(), 'freeing a parent with a nested domain');
      nest.domain.free();
      if (nest.viommu) refuses('EBUSY', () => nest.parent.free(), 'freeing a parent with a vIOMMU');
    },
  },
  {
    id: 'bad-data',
    title: 'nested domains are not made from malformed data, and nothing is left behind',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      const before = rig.machine.pages.livePages;
      for (const { title, value, errno } of nest.kit.badNestedData())
        refuses(errno as 'EINVAL', () => nest.alloc(value), `nested data: ${title}`);
      refuses(
        ['EINVAL', 'EOPNOTSUPP'],
        () => nest.alloc({ type: 0x7fff_0001, bytes: nest.stage1.data.bytes }),
        'an unknown type',
      );
      equal(rig.machine.pages.livePages, before, 'pages after the refusals');
      device.reaches(BASE, pa);
    },
  },
  {
    id: 'identity-restored',
    title: 'a freed guest leaves nothing to the next one with its tags',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      device.reaches(BASE, pa);
      device.detach();
      nest.domain.free();
      nest.stage1.unmap(BASE);
      const next = rig.trackNested(nest.alloc(nest.stage1.data));
      device.attach(next);
      device.refused('read', BASE, { reason: 'not-present' });
      scene(rig, { name: 'b' });
    },
  },
]);
