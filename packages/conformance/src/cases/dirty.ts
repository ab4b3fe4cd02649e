import { ALLOC } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, refuses, same } from '../expect.ts';
import { type Rig, RW } from '../rig/rig.ts';
import { largePage, type Scene, scene } from './scene.ts';

/** Eight pages under a domain that tracks writes, tracking on. */
function tracked(rig: Rig): Scene {
  const made = scene(rig, { pages: 8, flags: ALLOC.DIRTY_TRACKING });
  made.domain.setDirtyTracking(true);
  return made;
}

const pagesOf = (found: { iova: bigint; size: bigint }[], { iova, page }: Scene): number[] =>
  found.flatMap(({ iova: at, size }) =>
    Array.from({ length: Number(size / page) }, (_, i) => Number((at - iova) / page) + i),
  );

export const dirty = casesOf('dirty', [
  {
    id: 'writes-only',
    title: 'written pages are dirty, read pages are not',
    needs: ['dirty-tracking'],
    run(rig) {
      const made = tracked(rig);
      const { device, domain, page, iova, pa } = made;
      for (let i = 0n; i < 8n; i++) device.reads(iova + i * page, pa + i * page);
      same(domain.readDirty(iova, page * 8n), [], 'dirty after reads');
      device.writes(iova + page * 2n, pa + page * 2n);
      device.writes(iova + page * 5n + 8n, pa + page * 5n + 8n);
      same(pagesOf(domain.readDirty(iova, page * 8n), made), [2, 5], 'dirty pages');
    },
    without(rig) {
      refuses('EOPNOTSUPP', () => rig.device('a').device.allocPaging(ALLOC.DIRTY_TRACKING), 'a domain that tracks');
      refuses('EOPNOTSUPP', () => rig.device('a').paging().setDirtyTracking(true), 'tracking');
    },
  },
  {
    id: 'clears',
    title: 'reading clears; a page written again is dirty again, though it was in the cache',
    needs: ['dirty-tracking'],
    run(rig) {
      const made = tracked(rig);
      const { device, domain, page, iova, pa } = made;
      for (let round = 0; round < 3; round++) {
        device.writes(iova + page, pa + page);
        same(pagesOf(domain.readDirty(iova, page * 8n), made), [1], `dirty pages in round ${round + 1}`);
        same(domain.readDirty(iova, page * 8n), [], 'dirty after clearing');
      }
    },
  },
  {
    id: 'keep',
    title: 'reading with keep clears nothing',
    needs: ['dirty-tracking'],
    run(rig) {
      const made = tracked(rig);
      const { device, domain, page, iova, pa } = made;
      device.writes(iova, pa);
      same(pagesOf(domain.readDirty(iova, page * 8n, true), made), [0], 'dirty pages');
      same(pagesOf(domain.readDirty(iova, page * 8n, true), made), [0], 'dirty pages the second time');
    },
  },
  {
    id: 'range',
    title: 'only the pages asked for are reported and cleared',
    needs: ['dirty-tracking'],
    run(rig) {
      const made = tracked(rig);
      const { device, domain, page, iova, pa } = made;
      for (let i = 0n; i < 8n; i++) device.writes(iova + i * page, pa + i * page);
      same(pagesOf(domain.readDirty(iova + page * 2n, page * 3n), made), [2, 3, 4], 'dirty pages of the range');
      same(pagesOf(domain.readDirty(iova, page * 8n), made), [0, 1, 5, 6, 7], 'dirty pages of the rest');
    },
  },
  {
    id: 'starts-clean',
    title: 'turning tracking on starts from a clean slate',
    needs: ['dirty-tracking'],
    run(rig) {
      const made = tracked(rig);
      const { device, domain, page, iova, pa } = made;
      device.writes(iova, pa);
      domain.setDirtyTracking(false);
      device.writes(iova + page, pa + page);
      domain.setDirtyTracking(true);
      same(domain.readDirty(iova, page * 8n), [], 'dirty after turning it on');
      device.writes(iova + page * 3n, pa + page * 3n);
      same(pagesOf(domain.readDirty(iova, page * 8n), made), [3], 'dirty pages');
    },
  },
  {
    id: 'every-device',
    title: 'writes of every device of the domain count, also of one attached later',
    needs: ['dirty-tracking'],
    run(rig) {
      const made = tracked(rig);
      const { domain, page, iova, pa } = made;
      const b = rig.device('b');
      b.attach(domain);
      b.writes(iova + page * 6n, pa + page * 6n);
      same(pagesOf(domain.readDirty(iova, page * 8n), made), [6], 'dirty pages');
    },
  },
  {
    id: 'large-page',
    title: 'a write to a large page makes all of it dirty',
    needs: ['dirty-tracking', 'large-pages'],
    run(rig) {
      const made = tracked(rig);
      const { device, domain, iova } = made;
      const size = largePage(domain)!;
      const at = iova + size * 4n;
      const pa = rig.ram.take(size, size);
      domain.map(at, pa, size, RW);
      device.writes(at + size / 2n, pa + size / 2n);
      same(domain.readDirty(at, size), [{ iova: at, size }], 'dirty leaf');
      same(domain.readDirty(at, size), [], 'dirty after clearing');
    },
  },
  {
    id: 'not-asked-for',
    title: 'a domain made without tracking does not track',
    needs: ['dirty-tracking'],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      refuses('EOPNOTSUPP', () => domain.setDirtyTracking(true), 'tracking');
      refuses('EOPNOTSUPP', () => domain.readDirty(iova, page), 'reading');
      equal(domain.tracksDirty, false, 'tracking');
      device.reaches(iova, pa);
    },
  },
]);
