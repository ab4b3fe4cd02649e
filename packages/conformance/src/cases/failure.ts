import { ALLOC, type Errno } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, errnoOf, ok, refuses } from '../expect.ts';
import { type Rig, RW } from '../rig/rig.ts';
import { BASE, scene } from './scene.ts';

/** More allocations than any one operation makes. */
const LIMIT = 60;

/**
 * Runs `attempt` with its first, second, third … page allocation failing, until it succeeds. Each failure must be
 * ENOMEM, hold no more pages than before, and leave what `check` looks at.
 */
function sweep(rig: Rig, attempt: () => void, check: () => void): void {
  const { pages } = rig.machine;
  for (let nth = 1; nth <= LIMIT; nth++) {
    const before = pages.livePages;
    pages.failNth(nth);
    const errno = errnoOf(attempt);
    pages.failNth(null);
    if (errno === null) return;
    equal(errno, 'ENOMEM', `error when allocation ${nth} fails`);
    equal(pages.livePages, before, `pages after allocation ${nth} failed`);
    check();
  }
  ok(false, `still failing after ${LIMIT} allocations`);
}

/** Mappings enough to fill any queue. */
const MANY = 300;

/** Runs `body` while the unit answers nothing, and gives it time afterwards. */
function whileDead(rig: Rig, body: () => void): void {
  const { schedule } = rig.machine;
  rig.machine.schedule = { afterPolls: 1_000_000 };
  body();
  rig.machine.schedule = schedule;
  rig.settle();
}

export const failure = casesOf('failure', [
  {
    id: 'map',
    title: 'a map that runs out of memory maps nothing and keeps nothing',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const far = iova + page * 0x300n;
      const other = rig.ram.take(page * 600n, page);
      const size = page * 600n;
      sweep(
        rig,
        () => domain.map(far, other, size, RW),
        () => {
          for (const at of [far, far + page, far + size - page]) equal(domain.iovaToPhys(at), null, 'physical address');
          device.refused('read', far, { reason: 'not-present' });
          device.reaches(iova, pa);
        },
      );
      device.reaches(far + size - page, other + size - page);
    },
  },
  {
    id: 'alloc-domain',
    title: 'a domain that cannot be made leaves nothing behind, nor a tag taken',
    needs: [],
    run(rig) {
      const { device, iova, pa } = scene(rig);
      sweep(
        rig,
        () => void device.paging(),
        () => device.reaches(iova, pa),
      );
    },
  },
  {
    id: 'attach',
    title: 'an attach that runs out of memory leaves the old domain in force',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.paging();
      const page = domain.granule;
      const pa = rig.ram.take(page, page);
      domain.map(BASE, pa, page, RW);
      sweep(
        rig,
        () => device.attach(domain),
        () => device.refused('read', BASE, { reported: 'blocked' }),
      );
      device.reaches(BASE, pa);
    },
  },
  {
    id: 'plug-in',
    title: 'a device that cannot be admitted leaves nothing behind',
    needs: [],
    run(rig) {
      sweep(
        rig,
        () => void rig.device('b'),
        () => equal(rig.system.devices.length, 0, 'devices'),
      );
      rig.device('b').refused('read', BASE, { reported: 'blocked' });
    },
  },
  {
    id: 'bring-up',
    title: 'a unit that cannot come up for want of memory gives back what it took, and comes up later',
    needs: [],
    run(rig) {
      rig.removeUnit(rig.unit);
      equal(rig.machine.pages.livePages, 0, 'pages of a released unit');
      sweep(
        rig,
        () => void rig.addUnit(),
        () => {},
      );
    },
  },
  {
    id: 'attach-pasid',
    title: 'a PASID attach that runs out of memory changes nothing',
    needs: ['pasid'],
    run(rig) {
      const device = rig.device('pasid');
      const own = device.attached(ALLOC.PASID);
      const page = own.granule;
      const ownPa = rig.ram.take(page, page);
      own.map(BASE, ownPa, page, RW);
      const domain = device.paging(ALLOC.PASID);
      const pa = rig.ram.take(page, page);
      domain.map(BASE, pa, page, RW);
      sweep(
        rig,
        () => device.attach(domain, 200),
        () => {
          device.reaches(BASE, ownPa);
          device.refused('read', BASE, { pasid: 200, reported: 'any' });
        },
      );
      device.reaches(BASE, pa, { pasid: 200 });
      device.reaches(BASE, ownPa);
    },
  },
  {
    id: 'nested',
    title: 'a guest that cannot be made leaves nothing behind',
    needs: ['nest-parent'],
    run(rig) {
      const device = rig.device('a');
      const nest = rig.nest(device);
      sweep(
        rig,
        () => nest.alloc(nest.stage1.data).free(),
        () => {},
      );
      device.attach(nest.domain);
      device.reaches(BASE, nest.page(BASE));
    },
  },
  {
    id: 'dead-unit',
    title: 'a unit that stops answering is ETIMEDOUT, never a hang',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const kept = rig.ram.take(page, page);
      domain.map(iova + page, kept, page, RW);
      device.reaches(iova, pa);
      device.reaches(iova + page, kept);
      whileDead(rig, () =>
        refuses('ETIMEDOUT', () => domain.unmap(iova, page), 'an unmap that the unit never answers'),
      );
      domain.flush();
      device.refused('read', iova, { reason: 'not-present' });
      device.reaches(iova + page, kept);
    },
  },
  {
    id: 'dead-unit-attach',
    title: 'an attach the unit never answers leaves the old domain in force, with all its mappings',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { name: 'alias' });
      const ids = device.device.description.requesterIds;
      const spots = Array.from({ length: MANY }, (_, i) => iova + page * BigInt(2 * i + 2));
      for (const spot of spots) domain.map(spot, pa, page, RW);
      const b = rig.device('b');
      const other = device.paging();
      const otherPa = rig.ram.take(page, page);
      other.map(iova, otherPa, page, RW);
      for (const requesterId of ids) device.reaches(iova, pa, { requesterId });
      b.refused('read', iova, { reported: 'blocked' });
      let errno: Errno | null = null;
      whileDead(rig, () => {
        refuses('ETIMEDOUT', () => device.replace(other), 'a replace that the unit never answers');
        // Where the unit does not remember that a device is blocked, it need not be told that it no longer is.
        errno = errnoOf(() => b.attach(other));
      });
      ok(errno === null || errno === 'ETIMEDOUT', `an attach that the unit never answers: ${errno}`);
      for (const requesterId of ids) device.reaches(iova, pa, { requesterId });
      for (const spot of spots) equal(device.glance(spot), pa, 'where the domain of before leads');
      ok(device.device.domain === domain, 'the device has another domain');
      equal(other.users, errno === null ? 1 : 0, 'users of the other domain');
      if (errno !== null) {
        b.refused('read', iova, { reported: 'blocked' });
        b.attach(other);
      }
      device.replace(other);
      for (const requesterId of ids) device.reaches(iova, otherPa, { requesterId });
      b.reaches(iova, otherPa);
    },
  },
  {
    id: 'dead-unit-attach-pasid',
    title: 'an attach the unit never answers leaves the domains of a device and its PASIDs in force',
    needs: ['pasid'],
    run(rig) {
      const device = rig.device('pasid2');
      const [own, first, other] = [
        device.attached(ALLOC.PASID),
        device.paging(ALLOC.PASID),
        device.paging(ALLOC.PASID),
      ];
      const page = own.granule;
      const [ownPa, firstPa, otherPa] = [own, first, other].map((domain) => {
        const pa = rig.ram.take(page, page);
        domain.map(BASE, pa, page, RW);
        return pa;
      }) as [bigint, bigint, bigint];
      device.attach(first, 3);
      const asBefore = () => {
        device.reaches(BASE, ownPa);
        device.reaches(BASE, firstPa, { pasid: 3 });
        equal(other.users, 0, 'users of the refused domain');
      };
      asBefore();
      whileDead(rig, () => refuses('ETIMEDOUT', () => device.replace(other, 3), 'a replace for a PASID'));
      asBefore();
      whileDead(rig, () => refuses('ETIMEDOUT', () => device.replace(other), 'a replace for the device'));
      asBefore();
      device.replace(other, 3);
      device.reaches(BASE, otherPa, { pasid: 3 });
      device.reaches(BASE, ownPa);
      device.replace(other);
      device.reaches(BASE, otherPa);
    },
  },
]);
