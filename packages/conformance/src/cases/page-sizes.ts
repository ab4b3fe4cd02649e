import { OUTCOME } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, ok, refuses } from '../expect.ts';
import { type Rig, RW } from '../rig/rig.ts';
import type { RigDevice } from '../rig/rig-device.ts';
import { BASE, largePage, pageSizes } from './scene.ts';

/** log2 of the page that translates `iova`, as the unit answers it. */
function pageLg2(device: RigDevice, iova: bigint): number {
  const hi = Number(BigInt.asIntN(32, iova >> 32n));
  const lo = Number(BigInt.asIntN(32, iova));
  equal(device.endpoint.translate(hi, lo, 0), OUTCOME.TRANSLATED, `outcome at 0x${iova.toString(16)}`);
  return device.endpoint.answer.pageSizeLg2;
}

const lg2 = (size: bigint): number => size.toString(2).length - 1;

/** A device with a domain, and its smallest and next page size. */
function large(rig: Rig) {
  const device = rig.device('a');
  const domain = device.attached();
  const size = largePage(domain);
  ok(size !== null, 'the unit says it maps large pages, but the domain has none');
  return { device, domain, page: domain.granule, size, pa: rig.ram.take(size * 2n, size) };
}

export const sizes = casesOf('page-sizes', [
  {
    id: 'each-size',
    title: 'every page size of a domain is mapped as one page and reached from end to end',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const probe = device.attached();
      for (const size of pageSizes(probe).filter((one) => one <= 0x4000_0000n)) {
        const domain = device.paging();
        device.replace(domain);
        const pa = size > 0x2000_0000n ? size * 2n : rig.ram.take(size, size);
        const iova = size > BASE ? size : BASE;
        if (iova + size - 1n > domain.ops.geometry.last) continue;
        domain.map(iova, pa, size, RW);
        device.reads(iova, pa);
        device.reads(iova + size - 8n, pa + size - 8n);
        device.refused('read', iova + size, { reason: ['not-present', 'address-size'] });
        if (rig.has('large-pages')) equal(pageLg2(device, iova), lg2(size), 'log2 of the page size');
        equal(domain.unmap(iova, size), size, 'bytes unmapped');
        device.refused('read', iova + size - 8n, { reason: 'not-present' });
        device.replace(probe);
        domain.free();
      }
    },
  },
  {
    id: 'mixed',
    title: 'a range that is not aligned is covered by small pages, large pages, and small pages again',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size } = large(rig);
      const region = rig.ram.take(size * 3n, size);
      const pa = region + size - page;
      const iova = BASE + size - page;
      domain.map(iova, pa, size + page * 2n, RW);
      equal(pageLg2(device, iova), lg2(page), 'page size at the start');
      equal(pageLg2(device, iova + page), lg2(size), 'page size in the middle');
      equal(pageLg2(device, iova + page + size), lg2(page), 'page size at the end');
      for (const offset of [0n, page - 8n, page, size, size + page - 8n, size + page, size + page * 2n - 8n])
        device.reads(iova + offset, pa + offset);
      device.refused('read', iova - 8n, { reason: 'not-present' });
      device.refused('read', iova + size + page * 2n, { reason: 'not-present' });
      equal(domain.unmap(iova, size + page * 2n), size + page * 2n, 'bytes unmapped');
      for (const offset of [0n, page, size, size + page])
        device.refused('read', iova + offset, { reason: 'not-present' });
    },
  },
  {
    id: 'incongruent',
    title: 'where iova and physical address do not agree on alignment, small pages do it',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size } = large(rig);
      const pa = rig.ram.take(size * 2n, size) + page;
      domain.map(BASE, pa, size, RW);
      equal(pageLg2(device, BASE), lg2(page), 'log2 of the page size');
      for (const offset of [0n, page, size - page]) device.reads(BASE + offset, pa + offset);
    },
  },
  {
    id: 'large-unmap',
    title: 'unmapping a large page takes all of it, from every cache',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size, pa } = large(rig);
      domain.map(BASE, pa, size, RW);
      domain.map(BASE + size, pa + size, size, RW);
      const spots = [0n, page, size / 2n, size - page];
      for (const offset of spots) device.reaches(BASE + offset, pa + offset);
      device.reaches(BASE + size, pa + size);
      equal(domain.unmap(BASE, size), size, 'bytes unmapped');
      for (const offset of spots) device.refused('read', BASE + offset, { reason: 'not-present' });
      device.reaches(BASE + size, pa + size);
    },
  },
  {
    id: 'part-of-large',
    title: 'an unmap that covers a part of a large page removes nothing',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size, pa } = large(rig);
      domain.map(BASE, pa, size, RW);
      device.reaches(BASE, pa);
      equal(domain.unmap(BASE, page), 0n, 'bytes unmapped from its start');
      equal(domain.unmap(BASE + page, page), 0n, 'bytes unmapped from inside');
      equal(domain.unmap(BASE + size - page, page * 2n), 0n, 'bytes unmapped over its end');
      for (const offset of [0n, page, size - page]) {
        device.reads(BASE + offset, pa + offset);
        equal(domain.iovaToPhys(BASE + offset), pa + offset, 'physical address');
      }
    },
  },
  {
    id: 'large-then-small',
    title: 'small pages take the place of a large one',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size, pa } = large(rig);
      domain.map(BASE, pa, size, RW);
      device.reaches(BASE + page, pa + page);
      domain.unmap(BASE, size);
      const small = rig.ram.take(page, page);
      domain.map(BASE + page, small, page, RW);
      device.reaches(BASE + page, small);
      device.refused('read', BASE, { reason: 'not-present' });
      device.refused('write', BASE + page * 2n, { reason: 'not-present' });
    },
  },
  {
    id: 'small-then-large',
    title: 'a large page takes the place of small ones, whose table is given back',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size, pa } = large(rig);
      const before = rig.machine.pages.livePages;
      const other = rig.ram.take(size * 2n, size) + page;
      domain.map(BASE, other, size, RW);
      for (const offset of [0n, page, size - page]) device.reaches(BASE + offset, other + offset);
      equal(domain.unmap(BASE, size), size, 'bytes unmapped');
      equal(rig.machine.pages.livePages, before, 'table pages after unmap');
      domain.map(BASE, pa, size, RW);
      for (const offset of [0n, page, size - page]) device.reaches(BASE + offset, pa + offset);
      equal(pageLg2(device, BASE), lg2(size), 'log2 of the page size');
    },
  },
  {
    id: 'table-in-the-way',
    title: 'a large page does not go where one small page is',
    needs: ['large-pages'],
    run(rig) {
      const { device, domain, page, size, pa } = large(rig);
      const small = rig.ram.take(page, page);
      domain.map(BASE + page, small, page, RW);
      refuses('EEXIST', () => domain.map(BASE, pa, size, RW), 'mapping a large page over a small one');
      device.reaches(BASE + page, small);
      device.refused('read', BASE, { reason: 'not-present' });
      equal(domain.iovaToPhys(BASE), null, 'what the refused mapping left');
    },
  },
]);
