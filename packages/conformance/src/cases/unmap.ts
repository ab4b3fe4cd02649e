import { casesOf } from '../case.ts';
import { equal, ok } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { BASE, scene } from './scene.ts';

export const unmap = casesOf('unmap', [
  {
    id: 'no-stale-translation',
    title: 'an unmapped page is refused, though read and write were in the cache',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      equal(domain.unmap(iova, page), page, 'bytes unmapped');
      for (const access of ['read', 'write'] as const) device.refused(access, iova, { reason: 'not-present' });
      equal(domain.iovaToPhys(iova), null, 'physical address');
    },
  },
  {
    id: 'not-rewarmed',
    title: 'DMA at every moment of an unmap leaves nothing in the cache when it returns',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 4 });
      for (let i = 0n; i < 4n; i++) device.reaches(iova + i * page, pa + i * page);
      rig.watching(
        () => [0n, 1n, 2n, 3n].every((i) => device.glance(iova + i * page) !== null),
        () => equal(domain.unmap(iova, page * 4n), page * 4n, 'bytes unmapped'),
      );
      for (let i = 0n; i < 4n; i++) device.refused('read', iova + i * page, { reason: 'not-present' });
    },
  },
  {
    id: 'remap',
    title: 'a page mapped anew goes to the new place',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      for (let i = 0, at = pa; i < 4; i++) {
        device.reaches(iova, at);
        domain.unmap(iova, page);
        at = rig.ram.take(page, page);
        domain.map(iova, at, page, RW);
        device.reaches(iova, at);
      }
    },
  },
  {
    id: 'hole-is-zero',
    title: 'unmapping a hole removes nothing and is no error',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      equal(domain.unmap(iova + page, page), 0n, 'bytes unmapped in a hole');
      equal(domain.unmap(iova - page, page * 4n), 0n, 'bytes unmapped from a hole on');
      equal(domain.unmap(iova, page), page, 'bytes unmapped');
      equal(domain.unmap(iova, page), 0n, 'bytes unmapped the second time');
      device.refused('read', iova, { reason: 'not-present' });
      equal(domain.iovaToPhys(pa), null, 'something else was mapped');
    },
  },
  {
    id: 'stops-at-hole',
    title: 'an unmap goes up to the first hole and says how far it came',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 2 });
      const beyond = rig.ram.take(page, page);
      domain.map(iova + page * 3n, beyond, page, RW);
      device.reaches(iova + page * 3n, beyond);
      equal(domain.unmap(iova, page * 4n), page * 2n, 'bytes unmapped');
      device.refused('read', iova, { reason: 'not-present' });
      device.refused('read', iova + page, { reason: 'not-present' });
      device.reaches(iova + page * 3n, beyond);
      equal(domain.iovaToPhys(pa), null, 'something else was mapped');
    },
  },
  {
    id: 'misaligned-is-zero',
    title: 'a misaligned or empty unmap removes nothing',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const bad: readonly [bigint, bigint][] = [
        [iova + 1n, page],
        [iova, page - 1n],
        [iova, 0n],
        [iova, page / 2n],
        [-page, page],
      ];
      for (const [at, size] of bad) equal(domain.unmap(at, size), 0n, `unmap(${at}, ${size})`);
      device.reaches(iova, pa);
    },
  },
  {
    id: 'neighbours-stay',
    title: 'an unmap takes its own page and no other',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pages = Array.from({ length: 5 }, () => rig.ram.take(page, page));
      pages.forEach((pa, i) => {
        domain.map(BASE + page * BigInt(i), pa, page, RW);
      });
      pages.forEach((pa, i) => {
        device.reaches(BASE + page * BigInt(i), pa);
      });
      equal(domain.unmap(BASE + page * 2n, page), page, 'bytes unmapped');
      pages.forEach((pa, i) => {
        const iova = BASE + page * BigInt(i);
        if (i === 2) device.refused('read', iova, { reason: 'not-present' });
        else device.reaches(iova, pa);
      });
    },
  },
  {
    id: 'range-512',
    title: '512 pages unmapped at once are all gone, the pages around them are not',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pa = rig.ram.take(page * 514n, page);
      const first = BASE - page;
      domain.map(first, pa, page, RW);
      domain.map(BASE, pa + page, page * 512n, RW);
      domain.map(BASE + page * 512n, pa + page * 513n, page, RW);
      for (let i = 0n; i < 514n; i++) device.reads(first + i * page, pa + i * page);
      equal(domain.unmap(BASE, page * 512n), page * 512n, 'bytes unmapped');
      for (let i = 1n; i < 513n; i++) device.refused('read', first + i * page, { reason: 'not-present' });
      device.reaches(first, pa);
      device.reaches(first + page * 513n, pa + page * 513n);
    },
  },
  {
    id: 'odd-range',
    title: 'a range of no round size at no round address is gone from end to end',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const count = 37n;
      const first = BASE + page * 27n;
      const pa = rig.ram.take(page * (count + 2n), page);
      domain.map(first - page, pa, page, RW);
      domain.map(first, pa + page, page * count, RW);
      domain.map(first + page * count, pa + page * (count + 1n), page, RW);
      for (let i = 0n; i < count + 2n; i++) device.reads(first + (i - 1n) * page, pa + i * page);
      equal(domain.unmap(first, page * count), page * count, 'bytes unmapped');
      for (let i = 0n; i < count; i++) device.refused('write', first + i * page, { reason: 'not-present' });
      device.reaches(first - page, pa);
      device.reaches(first + page * count, pa + page * (count + 1n));
    },
  },
  {
    id: 'whole-mappings',
    title: 'an unmap that cuts a mapping removes nothing of it',
    needs: ['whole-mappings'],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 4 });
      device.reaches(iova, pa);
      equal(domain.unmap(iova, page), 0n, 'bytes unmapped from its start');
      equal(domain.unmap(iova + page, page), 0n, 'bytes unmapped from inside');
      equal(domain.unmap(iova + page * 3n, page), 0n, 'bytes unmapped from its end');
      for (let i = 0n; i < 4n; i++) device.reaches(iova + i * page, pa + i * page);
      equal(domain.unmap(iova, page * 4n), page * 4n, 'bytes unmapped as a whole');
      for (let i = 0n; i < 4n; i++) device.refused('read', iova + i * page, { reason: 'not-present' });
    },
    without(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 4 });
      for (let i = 0n; i < 4n; i++) device.reaches(iova + i * page, pa + i * page);
      equal(domain.unmap(iova + page, page * 2n), page * 2n, 'bytes unmapped from the middle');
      for (const i of [1n, 2n]) device.refused('read', iova + i * page, { reason: 'not-present' });
      for (const i of [0n, 3n]) device.reaches(iova + i * page, pa + i * page);
    },
  },
  {
    id: 'several-mappings',
    title: 'one unmap takes several mappings that follow each other',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      for (let i = 0n; i < 6n; i++) domain.map(BASE + i * page, rig.ram.take(page, page), page, RW);
      for (let i = 0n; i < 6n; i++) device.dma('read', BASE + i * page);
      equal(domain.unmap(BASE, page * 6n), page * 6n, 'bytes unmapped');
      for (let i = 0n; i < 6n; i++) device.refused('read', BASE + i * page, { reason: 'not-present' });
    },
  },
  {
    id: 'past-the-end',
    title: 'an unmap that reaches past the aperture ends there',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const { last } = domain.ops.geometry;
      const top = last + 1n - page;
      const pa = rig.ram.take(page, page);
      domain.map(top, pa, page, RW);
      device.reaches(top, pa);
      equal(domain.unmap(last + 1n, page), 0n, 'bytes unmapped past the aperture');
      equal(domain.unmap(top, page * 16n), page, 'bytes unmapped across its end');
      device.refused('read', top, { reason: 'not-present' });
    },
  },
  {
    id: 'tables-come-back',
    title: 'mapping and unmapping far and wide takes no more table pages than the first time',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pa = rig.ram.take(page, page);
      const { last } = domain.ops.geometry;
      const before = rig.machine.pages.livePages;
      for (let round = 0; round < 3; round++) {
        for (let iova = BASE; iova < last && iova < 1n << 47n; iova <<= 1n) {
          domain.map(iova, pa, page, RW);
          device.reads(iova, pa);
          equal(domain.unmap(iova, page), page, 'bytes unmapped');
          device.refused('read', iova, { reason: 'not-present' });
        }
        equal(rig.machine.pages.livePages, before, `pages after round ${round + 1}`);
      }
    },
  },
  {
    id: 'every-shape',
    title: 'ranges of any length at any page are gone from end to end, and nothing else is',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const count = 96;
      const pa = rig.ram.take(page * BigInt(count), page);
      const at = (i: number) => BASE + page * BigInt(i + 480);
      const to = (i: number) => pa + page * BigInt(i);
      const mapFrom = (start: number, end: number) => {
        for (let i = start; i < end; i++) domain.map(at(i), to(i), page, RW);
      };
      mapFrom(0, count);
      for (let step = 0; step < 24; step++) {
        const start = (step * 29) % 61;
        const length = 1 + ((step * 17) % 33);
        for (let i = 0; i < count; i++) ok(device.glance(at(i)) === to(i), `page ${i} before step ${step}`);
        const size = page * BigInt(length);
        equal(domain.unmap(at(start), size), size, `bytes unmapped in step ${step}`);
        for (let i = 0; i < count; i++) {
          const inside = i >= start && i < start + length;
          ok(
            device.glance(at(i)) === (inside ? null : to(i)),
            `page ${i} after ${length} pages at ${start} were unmapped`,
          );
        }
        mapFrom(start, start + length);
        rig.settle();
      }
    },
  },
  {
    id: 'freed-after-invalidation',
    title: 'a table page is given back only when the unit can no longer use what it held',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      const { pages } = rig.machine;
      const free = pages.free.bind(pages);
      let early = 0;
      pages.free = (table) => {
        if (device.glance(iova) !== null) early++;
        free(table);
      };
      equal(domain.unmap(iova, page), page, 'bytes unmapped');
      pages.free = free;
      rig.settle();
      equal(early, 0, 'pages given back while the unit still translated');
    },
  },
]);
