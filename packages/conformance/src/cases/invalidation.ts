import { casesOf } from '../case.ts';
import { equal } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { BASE, scene } from './scene.ts';

export const invalidation = casesOf('invalidation', [
  {
    id: 'flush-keeps-mappings',
    title: 'a flush of everything changes no translation',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 2 });
      device.reaches(iova, pa);
      domain.flush();
      device.reaches(iova, pa);
      device.reaches(iova + page, pa + page);
      device.refused('read', iova + page * 2n, { reason: 'not-present' });
    },
  },
  {
    id: 'flush-drops-everything',
    title: 'a flush makes the unit look at the tables again',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 2 });
      for (let i = 0n; i < 2n; i++) device.reaches(iova + i * page, pa + i * page);
      const gather = { start: (1n << 64n) - 1n, last: 0n, pageSize: 0n, freed: [] };
      equal(domain.ops.unmapPages(iova, page * 2n, gather), page * 2n, 'bytes unmapped without a word to the unit');
      domain.flush();
      for (let i = 0n; i < 2n; i++) device.refused('read', iova + i * page, { reason: 'not-present' });
      domain.ops.syncUnmap(gather);
    },
  },
  {
    id: 'caches-are-invisible',
    title: 'with cold caches everything translates as with warm ones',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 3 });
      domain.unmap(iova, page * 3n);
      domain.map(iova + page, pa, page, RW);
      for (let round = 0; round < 2; round++) {
        device.reaches(iova + page, pa);
        device.refused('read', iova, { reason: 'not-present' });
        device.refused('read', iova + page * 2n, { reason: 'not-present' });
        rig.unit.hardware.dropCaches();
      }
    },
  },
  {
    id: 'all-devices-of-a-domain',
    title: 'an unmap is gone for every device of the domain',
    needs: [],
    run(rig) {
      const { device: a, domain, page, iova, pa } = scene(rig);
      const others = [rig.device('b'), rig.device('alias')];
      for (const one of others) one.attach(domain);
      for (const one of [a, ...others]) one.reaches(iova, pa);
      domain.unmap(iova, page);
      for (const one of [a, ...others]) {
        one.refused('read', iova, { reason: 'not-present' });
        one.refused('write', iova, { reason: 'not-present' });
      }
    },
  },
  {
    id: 'only-this-domain',
    title: 'an unmap in one domain leaves the same address in another alone',
    needs: [],
    run(rig) {
      const { device: a, domain, page, iova, pa } = scene(rig);
      const { device: b, domain: second, pa: secondPa } = scene(rig, { name: 'b' });
      a.reaches(iova, pa);
      b.reaches(iova, secondPa);
      domain.unmap(iova, page);
      a.refused('read', iova, { reason: 'not-present' });
      b.reaches(iova, secondPa);
      equal(second.iovaToPhys(iova), secondPa, 'physical address in the other domain');
    },
  },
  {
    id: 'after-detach',
    title: 'an unmap while a device is detached is known when it is attached again',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { pages: 2 });
      for (let i = 0n; i < 2n; i++) device.reaches(iova + i * page, pa + i * page);
      device.detach();
      domain.unmap(iova, page * 2n);
      const next = rig.ram.take(page, page);
      domain.map(iova, next, page, RW);
      device.attach(domain);
      device.reaches(iova, next);
      device.refused('read', iova + page, { reason: 'not-present' });
    },
  },
  {
    id: 'attached-elsewhere',
    title: 'a device attached late sees what was unmapped early',
    needs: [],
    run(rig) {
      const { device: a, domain, page, iova, pa } = scene(rig);
      a.reaches(iova, pa);
      const b = rig.device('b');
      b.attach(domain);
      b.reaches(iova, pa);
      a.detach();
      domain.unmap(iova, page);
      b.refused('read', iova, { reason: 'not-present' });
      a.attach(domain);
      a.refused('read', iova, { reason: 'not-present' });
    },
  },
  {
    id: 'ring-wraps',
    title: 'invalidation goes on when every queue has wrapped several times',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pas = [rig.ram.take(page, page), rig.ram.take(page, page)];
      for (let i = 0; i < 700; i++) {
        const pa = pas[i % 2]!;
        domain.map(BASE, pa, page, RW);
        if (i % 7 === 0) device.reads(BASE, pa);
        else device.endpoint.read(BASE, 8);
        domain.unmap(BASE, page);
        if (i % 50 === 0) device.refused('read', BASE, { reason: 'not-present' });
      }
      device.refused('read', BASE, { reason: 'not-present' });
    },
  },
]);
