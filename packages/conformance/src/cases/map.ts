import { PROT } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, ok, refuses } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { BASE, RO, scene } from './scene.ts';

export const map = casesOf('map', [
  {
    id: 'every-byte',
    title: 'the first and the last byte of a page translate, the bytes around it do not',
    needs: [],
    run(rig) {
      const { device, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.reaches(iova + page - 8n, pa + page - 8n);
      device.refused('read', iova + page, { reason: 'not-present' });
      device.refused('write', iova - 8n, { reason: 'not-present' });
    },
  },
  {
    id: 'visible-after-fault',
    title: 'a mapping counts although the address was refused just before',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pa = rig.ram.take(page * 2n, page);
      device.refused('read', BASE, { reason: 'not-present' });
      domain.map(BASE, pa, page, RW);
      device.reaches(BASE, pa);
      device.refused('write', BASE + page, { reason: 'not-present' });
      domain.map(BASE + page, pa + page, page, RW);
      device.reaches(BASE + page, pa + page);
    },
  },
  {
    id: 'address-zero',
    title: 'address 0 is an address like any other',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pa = rig.ram.take(page, page);
      const { start } = domain.ops.geometry;
      domain.map(start, pa, page, RW);
      device.reaches(start, pa);
      equal(domain.iovaToPhys(start), pa, 'physical address');
      equal(domain.unmap(start, page), page, 'bytes unmapped');
      device.refused('read', start, { reason: 'not-present' });
    },
  },
  {
    id: 'top-of-aperture',
    title: 'the last page of the aperture can be mapped and reached, to its last byte',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const top = domain.ops.geometry.last - page + 1n;
      const pa = rig.ram.take(page, page);
      domain.map(top, pa, page, RW);
      device.reaches(top, pa);
      device.reaches(top + page - 8n, pa + page - 8n);
      equal(domain.unmap(top, page), page, 'bytes unmapped');
      device.refused('read', top + page - 8n, { reason: 'not-present' });
    },
  },
  {
    id: 'past-the-aperture',
    title: 'nothing is mapped past the aperture, and no address past it aliases one inside',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const { last } = domain.ops.geometry;
      device.reaches(iova, pa);
      if (last === (1n << 64n) - 1n) return;
      refuses('ERANGE', () => domain.map(last + 1n, pa, page, RW), 'mapping past the aperture');
      refuses('ERANGE', () => domain.map(last + 1n - page, pa, page * 2n, RW), 'mapping across its end');
      equal(domain.iovaToPhys(last + 1n - page), null, 'what a refused mapping left');
      equal(domain.iovaToPhys(last + 1n + iova), null, 'physical address past the aperture');
      const alias = last + 1n + iova;
      for (const access of ['read', 'write'] as const)
        device.refused(access, alias, { reason: ['not-present', 'address-size'] });
    },
  },
  {
    id: 'misaligned',
    title: 'addresses and sizes that are no multiples of the smallest page are EINVAL, and so are empty mappings',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const free = iova + page * 4n;
      const bad: readonly [bigint, bigint, bigint][] = [
        [free + 1n, pa, page],
        [free + page / 2n, pa, page],
        [free, pa + 8n, page],
        [free, pa + page / 2n, page],
        [free, pa, page - 1n],
        [free, pa, page + page / 2n],
        [free, pa, 0n],
      ];
      for (const [at, to, size] of bad)
        refuses(
          'EINVAL',
          () => domain.map(at, to, size, RW),
          `map(0x${at.toString(16)}, 0x${to.toString(16)}, ${size})`,
        );
      equal(domain.iovaToPhys(free), null, 'what refused mappings left');
      device.refused('read', free, { reason: 'not-present' });
    },
  },
  {
    id: 'no-permission',
    title: 'a mapping that is neither readable nor writable is EINVAL',
    needs: [],
    run(rig) {
      const { domain, page, iova, pa } = scene(rig);
      for (const prot of [0, PROT.CACHE, PROT.NOEXEC, PROT.MMIO])
        refuses('EINVAL', () => domain.map(iova + page, pa, page, prot), `protection ${prot}`);
      equal(domain.iovaToPhys(iova + page), null, 'what refused mappings left');
    },
  },
  {
    id: 'over-a-mapping',
    title: 'mapping over something is EEXIST and changes nothing, also when it begins in a hole',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const other = rig.ram.take(page * 4n, page);
      refuses('EEXIST', () => domain.map(iova, other, page, RW), 'mapping over a page');
      refuses('EEXIST', () => domain.map(iova - page * 2n, other, page * 4n, RW), 'mapping across a page');
      equal(domain.iovaToPhys(iova), pa, 'the page that was there');
      for (const at of [iova - page * 2n, iova - page, iova + page])
        equal(domain.iovaToPhys(at), null, 'what refused mappings left');
      device.reaches(iova, pa);
      device.refused('read', iova - page, { reason: 'not-present' });
      domain.map(iova - page * 2n, other, page * 2n, RW);
      device.reaches(iova - page, other + page);
    },
  },
  {
    id: 'physical-too-wide',
    title: 'a physical address the table cannot hold is ERANGE, never a shorter one',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const wide = (1n << 56n) + pa;
      const at = iova + page;
      try {
        domain.map(at, wide, page, RW);
      } catch {
        refuses('ERANGE', () => domain.map(at, wide, page, RW), 'a physical address of 57 bits');
        equal(domain.iovaToPhys(at), null, 'what the refused mapping left');
        device.refused('read', at, { reason: 'not-present' });
        return;
      }
      equal(domain.iovaToPhys(at), wide, 'physical address');
      ok(!device.dma('read', at).ok, 'DMA to memory that is not there went through');
    },
  },
  {
    id: 'iova-to-phys',
    title: 'iovaToPhys answers with the byte offset, and null for holes and outside',
    needs: [],
    run(rig) {
      const { domain, page, iova, pa } = scene(rig, { pages: 3 });
      for (const offset of [0n, 1n, page - 1n, page, page * 3n - 1n])
        equal(domain.iovaToPhys(iova + offset), pa + offset, `iovaToPhys at +${offset}`);
      equal(domain.iovaToPhys(iova - 1n), null, 'before the mapping');
      equal(domain.iovaToPhys(iova + page * 3n), null, 'after the mapping');
      equal(domain.iovaToPhys(-1n), null, 'below zero');
    },
  },
  {
    id: 'scattered',
    title: 'pages that follow each other in iova may lie anywhere in memory, and one DMA crosses them',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pages = Array.from({ length: 8 }, () => rig.ram.take(page, page)).reverse();
      pages.forEach((pa, i) => {
        domain.map(BASE + page * BigInt(i), pa, page, RW);
      });
      pages.forEach((pa, i) => {
        device.reaches(BASE + page * BigInt(i), pa);
      });
      const marks = pages.map((pa) => rig.ram.mark(pa));
      const { ok: done, data } = device.dma('read', BASE, {}, new Uint8Array(Number(page) * 8));
      ok(done, 'a DMA across eight pages was refused');
      marks.forEach((mark, i) => {
        const from = Number(page) * i;
        equal(Buffer.compare(data.subarray(from, from + 8), mark), 0, `bytes of page ${i}`);
      });
    },
  },
  {
    id: 'two-names',
    title: 'two addresses may name one page, and lose it apart',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const second = iova + page * 0x200n;
      domain.map(second, pa, page, RO);
      device.reaches(iova, pa);
      device.reads(second, pa);
      device.refused('write', second, { reason: 'permission' });
      domain.unmap(iova, page);
      device.refused('read', iova, { reason: 'not-present' });
      device.reads(second, pa);
    },
  },
  {
    id: 'far-apart',
    title: 'addresses that differ in one bit only are different pages',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const { last } = domain.ops.geometry;
      const page = domain.granule;
      const at = [0n];
      for (let bit = page; bit <= last; bit <<= 1n) if (bit >= domain.ops.geometry.start) at.push(bit);
      if (domain.ops.geometry.start > 0n) at.shift();
      const pages = at.map((iova) => {
        const pa = rig.ram.take(page, page);
        domain.map(iova, pa, page, RW);
        return pa;
      });
      for (let round = 0; round < 2; round++) at.forEach((iova, i) => void device.reads(iova, pages[i]!));
      at.forEach((iova) => void equal(domain.unmap(iova, page), page, 'bytes unmapped'));
      at.forEach((iova) => void device.refused('read', iova, { reason: 'not-present' }));
    },
  },
  {
    id: 'above-4-gib',
    title: 'both halves of an address count, on either side of the translation',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const high = 0x17_4000_0000n;
      const places: readonly [bigint, bigint][] = [
        [BASE, rig.ram.takeHigh(page, page)],
        [high, rig.ram.take(page, page)],
        [high + page, rig.ram.takeHigh(page, page)],
        [BASE + page, rig.ram.take(page, page)],
      ];
      for (const [iova, pa] of places) domain.map(iova, pa, page, RW);
      for (let round = 0; round < 2; round++) for (const [iova, pa] of places) device.reaches(iova + 8n, pa + 8n);
      for (const [iova, pa] of places) equal(domain.iovaToPhys(iova), pa, 'physical address');
      equal(domain.unmap(high, page), page, 'bytes unmapped');
      device.refused('read', high, { reason: 'not-present' });
      device.reaches(BASE, places[0]![1]);
      equal(domain.unmap(BASE, page), page, 'bytes unmapped');
      device.refused('write', BASE, { reason: 'not-present' });
      device.reaches(high + page, places[2]![1]);
    },
  },
  {
    id: 'many-pages',
    title: '4096 pages, each where it belongs',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 4096 });
      for (let i = 0n; i < 4096n; i += 61n) device.reads(iova + i * page, pa + i * page);
      device.reaches(iova + page * 4095n, pa + page * 4095n);
      device.refused('read', iova + page * 4096n, { reason: 'not-present' });
      equal(domain.unmap(iova, page * 4096n), page * 4096n, 'bytes unmapped');
      for (let i = 0n; i < 4096n; i += 61n) device.refused('read', iova + i * page, { reason: 'not-present' });
    },
  },
  {
    id: 'many-mappings',
    title: '600 mappings of one page each, made and unmade in no order, each where it belongs',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const count = 600;
      const at = (i: number) => BASE + page * 2n * BigInt((i * 277) % count);
      const pa = rig.ram.take(page * BigInt(count), page);
      const to = (i: number) => pa + page * BigInt(i);
      for (let i = 0; i < count; i++) domain.map(at(i), to(i), page, RW);
      for (let i = 0; i < count; i += 7) device.reads(at(i), to(i));
      for (let i = 1; i < count; i += 3) equal(domain.unmap(at(i), page), page, 'bytes unmapped');
      for (let i = 0; i < count; i++) equal(domain.iovaToPhys(at(i)), i % 3 === 1 ? null : to(i), 'physical address');
      for (let i = 0; i < count; i += 5)
        if (i % 3 === 1) device.refused('read', at(i), { reason: 'not-present' });
        else device.reads(at(i), to(i));
      for (let i = count - 1; i >= 0; i--) equal(domain.unmap(at(i), page), i % 3 === 1 ? 0n : page, 'bytes unmapped');
      for (let i = 0; i < count; i += 11) device.refused('write', at(i), { reason: 'not-present' });
    },
  },
]);
