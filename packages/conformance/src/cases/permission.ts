import { PROT } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { errnoOf, ok } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { BASE, largePage, RO, scene } from './scene.ts';

const WO = PROT.WRITE | PROT.CACHE;

export const permission = casesOf('permission', [
  {
    id: 'read-only',
    title: 'a read-only page is read and not written, from a cold and from a warm cache',
    needs: [],
    run(rig) {
      const { device, iova, pa } = scene(rig, { prot: RO });
      device.refused('write', iova, { reason: 'permission' });
      device.reads(iova, pa);
      device.refused('write', iova, { reason: 'permission' });
      device.reads(iova, pa);
    },
  },
  {
    id: 'write-only',
    title: 'a write-only page is written and not read',
    needs: ['write-only-mapping'],
    run(rig) {
      const { device, iova, pa } = scene(rig, { prot: WO });
      device.refused('read', iova, { reason: 'permission' });
      device.writes(iova, pa);
      device.refused('read', iova, { reason: 'permission' });
    },
    without(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const page = domain.granule;
      const pa = rig.ram.take(page, page);
      const errno = errnoOf(() => domain.map(BASE, pa, page, WO));
      if (errno === null) device.writes(BASE, pa);
      else ok(errno === 'EINVAL', `a write-only mapping was refused with ${errno}`);
    },
  },
  {
    id: 'no-execute',
    title: 'NOEXEC refuses instruction fetches and nothing else; without it, or without the capability, they pass',
    needs: ['execute-permission'],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { prot: RW | PROT.NOEXEC, name: 'pasid' });
      const open = rig.ram.take(page, page);
      domain.map(iova + page, open, page, RO);
      device.reaches(iova, pa);
      device.refused('execute', iova, { reason: 'permission' });
      device.reads(iova + page, open, {}, 'execute');
    },
    without(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { prot: RW | PROT.NOEXEC });
      const open = rig.ram.take(page, page);
      domain.map(iova + page, open, page, RO);
      device.reaches(iova, pa);
      device.reads(iova, pa, {}, 'execute');
      device.reads(iova + page, open, {}, 'execute');
      device.refused('execute', iova + page * 2n, { reason: 'not-present' });
    },
  },
  {
    id: 'change',
    title: 'permissions change by unmapping and mapping again, in both directions',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      domain.unmap(iova, page);
      domain.map(iova, pa, page, RO);
      device.refused('write', iova, { reason: 'permission' });
      device.reads(iova, pa);
      domain.unmap(iova, page);
      domain.map(iova, pa, page, RW);
      device.reaches(iova, pa);
    },
  },
  {
    id: 'side-by-side',
    title: 'each page has its own permissions',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { prot: RO });
      const writable = rig.ram.take(page, page);
      domain.map(iova + page, writable, page, RW);
      device.reaches(iova + page, writable);
      device.refused('write', iova, { reason: 'permission' });
      device.reads(iova, pa);
      device.writes(iova + page, writable);
    },
  },
  {
    id: 'large-page',
    title: 'a read-only large page is read everywhere and written nowhere',
    needs: ['large-pages'],
    run(rig) {
      const device = rig.device('a');
      const domain = device.attached();
      const size = largePage(domain)!;
      const pa = rig.ram.take(size, size);
      domain.map(BASE, pa, size, RO);
      for (const offset of [0n, size / 2n, size - 8n]) {
        device.reads(BASE + offset, pa + offset);
        device.refused('write', BASE + offset, { reason: 'permission' });
      }
    },
  },
]);
