import { casesOf } from '../case.ts';
import { equal, ok, refuses, same } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { scene } from './scene.ts';

export const group = casesOf('group', [
  {
    id: 'own-groups',
    title: 'devices that can be isolated have groups of their own',
    needs: [],
    run(rig) {
      ok(rig.device('a').device.group !== rig.device('b').device.group, 'a and b share a group');
      ok(rig.device('twin').device.group === rig.device('sibling').device.group, 'twins are in two groups');
    },
  },
  {
    id: 'moves-together',
    title: 'what is set for one device of a group holds for all',
    needs: [],
    run(rig) {
      const sibling = rig.device('sibling');
      const { device: twin, domain, iova, pa } = scene(rig, { name: 'twin' });
      twin.reaches(iova, pa);
      sibling.reaches(iova, pa);
      refuses('EBUSY', () => sibling.attach(domain), 'attaching the group again');
      sibling.detach();
      twin.refused('read', iova, { reported: 'blocked' });
      sibling.refused('read', iova, { reported: 'blocked' });
    },
  },
  {
    id: 'late-member',
    title: 'a device that joins a group follows its domain; one that leaves is cut off alone',
    needs: [],
    run(rig) {
      const { device: twin, iova, pa } = scene(rig, { name: 'twin' });
      const sibling = rig.device('sibling');
      sibling.reaches(iova, pa);
      rig.unplug(sibling);
      sibling.refused('read', iova, { reported: 'any' });
      twin.reaches(iova, pa);
    },
  },
  {
    id: 'all-or-none',
    title: 'a domain that one member cannot take is taken by none, and the old one stays',
    needs: ['enforce-cache-coherency'],
    run(rig) {
      const coherent = rig.device('a');
      const loose = rig.device('loose');
      if (loose.device.capable('enforce-cache-coherency')) return;
      const strict = coherent.paging();
      ok(strict.enforceCacheCoherency(), 'coherency was refused');
      const { domain, page, iova, pa } = scene(rig, { name: 'loose' });
      strict.map(iova, rig.ram.take(page, page), page, RW);
      refuses('EINVAL', () => loose.replace(strict), 'replacing by a domain the device does not fit');
      ok(loose.device.domain === domain, 'the device lost its domain');
      loose.reaches(iova, pa);
      equal(strict.users, 0, 'users of the refused domain');
    },
  },
  {
    id: 'group-regions',
    title: "a group's reserved regions are its devices' regions, sorted and joined",
    needs: [],
    run(rig) {
      rig.device('sibling');
      const { group: both } = rig.device('twin').device;
      const regions = both.reservedRegions();
      const starts = regions.map(({ start }) => start);
      same(
        starts,
        [...starts].sort((x, y) => (x < y ? -1 : x > y ? 1 : 0)),
        'order of regions',
      );
      for (const { device } of [rig.device('twin'), rig.device('sibling')])
        for (const region of device.reservedRegions())
          ok(
            regions.some((one) => one.type === region.type && one.start <= region.start && one.last >= region.last),
            `a ${region.type} region is missing`,
          );
    },
  },
]);
