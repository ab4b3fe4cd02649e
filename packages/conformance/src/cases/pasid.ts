import { ALLOC } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, ok, refuses, same } from '../expect.ts';
import { type Rig, RW } from '../rig/rig.ts';
import { BASE } from './scene.ts';

const FIRST = 3;
const SECOND = 129;

/** A device with its own domain and one for a PASID, each mapping the same address to another page. */
function withPasid(rig: Rig, pasid = FIRST) {
  const device = rig.device('pasid');
  const own = device.attached(ALLOC.PASID);
  const page = own.granule;
  const ownPa = rig.ram.take(page, page);
  own.map(BASE, ownPa, page, RW);
  const domain = device.paging(ALLOC.PASID);
  const pa = rig.ram.take(page, page);
  domain.map(BASE, pa, page, RW);
  device.attach(domain, pasid);
  return { device, own, ownPa, domain, pa, page };
}

export const pasid = casesOf('pasid', [
  {
    id: 'own-domain',
    title: 'a PASID has a domain of its own, beside that of requests without PASID',
    needs: ['pasid'],
    run(rig) {
      const { device, ownPa, pa } = withPasid(rig);
      for (let round = 0; round < 2; round++) {
        device.reaches(BASE, ownPa);
        device.reaches(BASE, pa, { pasid: FIRST });
      }
      same(device.device.group.pasids, [FIRST], 'PASIDs in use');
    },
    without(rig) {
      const device = rig.device('pasid');
      const domain = device.attached();
      equal(device.device.maxPasids, 0, 'PASIDs');
      refuses(['EOPNOTSUPP', 'EINVAL'], () => device.attach(domain, FIRST), 'attaching to a PASID');
      const page = domain.granule;
      const pa = rig.ram.take(page, page);
      domain.map(BASE, pa, page, RW);
      device.reaches(BASE, pa);
      device.refused('read', BASE, { pasid: FIRST, reported: 'any' });
      refuses('EOPNOTSUPP', () => device.device.allocPaging(ALLOC.PASID), 'a domain for PASIDs');
    },
  },
  {
    id: 'two-pasids',
    title: 'two PASIDs of a device are apart, also while one is unmapped',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, pa, page } = withPasid(rig);
      const second = device.paging(ALLOC.PASID);
      const secondPa = rig.ram.take(page, page);
      second.map(BASE, secondPa, page, RW);
      device.attach(second, SECOND);
      device.reaches(BASE, pa, { pasid: FIRST });
      device.reaches(BASE, secondPa, { pasid: SECOND });
      domain.unmap(BASE, page);
      device.refused('read', BASE, { pasid: FIRST, reason: 'not-present' });
      device.reaches(BASE, secondPa, { pasid: SECOND });
    },
  },
  {
    id: 'shared-domain',
    title: 'one domain may serve several PASIDs; an unmap is gone for all',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, pa, page } = withPasid(rig);
      device.attach(domain, SECOND);
      for (const one of [FIRST, SECOND]) device.reaches(BASE, pa, { pasid: one });
      domain.unmap(BASE, page);
      for (const one of [FIRST, SECOND]) {
        device.refused('read', BASE, { pasid: one, reason: 'not-present' });
        device.refused('write', BASE, { pasid: one, reason: 'not-present' });
      }
    },
  },
  {
    id: 'detach',
    title: 'a detached PASID reaches nothing; the rest of the device goes on',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, ownPa, pa } = withPasid(rig);
      device.reaches(BASE, pa, { pasid: FIRST });
      device.detach(FIRST);
      for (const access of ['read', 'write'] as const) device.refused(access, BASE, { pasid: FIRST, reported: 'any' });
      device.reaches(BASE, ownPa);
      equal(domain.users, 0, 'users of the detached domain');
      device.attach(domain, FIRST);
      device.reaches(BASE, pa, { pasid: FIRST });
    },
  },
  {
    id: 'replace',
    title: 'a PASID goes from one domain to another',
    needs: ['pasid'],
    run(rig) {
      const { device, ownPa, pa, page } = withPasid(rig);
      const next = device.paging(ALLOC.PASID);
      const nextPa = rig.ram.take(page, page);
      next.map(BASE, nextPa, page, RW);
      device.reaches(BASE, pa, { pasid: FIRST });
      refuses('EBUSY', () => device.attach(next, FIRST), 'attaching over a domain');
      device.replace(next, FIRST);
      device.reaches(BASE, nextPa, { pasid: FIRST });
      device.reaches(BASE, ownPa);
      refuses('EINVAL', () => device.replace(next, SECOND), 'replacing nothing');
    },
  },
  {
    id: 'unknown',
    title: 'a PASID that nothing is attached to reaches nothing',
    needs: ['pasid'],
    run(rig) {
      const { device, ownPa, pa } = withPasid(rig);
      device.reaches(BASE, pa, { pasid: FIRST });
      device.reaches(BASE, ownPa);
      for (const one of [SECOND, 255, 0x1234, 0xf_ffff]) device.refused('read', BASE, { pasid: one, reported: 'any' });
      device.reaches(BASE, pa, { pasid: FIRST });
    },
  },
  {
    id: 'range',
    title: 'PASIDs outside the device’s range are EINVAL',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, ownPa, pa } = withPasid(rig);
      const limit = device.device.maxPasids;
      ok(limit > 0 && limit <= 256, `a device with 8-bit PASIDs has ${limit}`);
      for (const one of [limit, limit + 1, 0x10_0000, -1, 1.5])
        refuses('EINVAL', () => device.attach(domain, one), `PASID ${one}`);
      const plain = rig.device('a');
      const other = plain.attached();
      refuses('EINVAL', () => plain.attach(other, 1), 'a PASID on a device without');
      device.reaches(BASE, ownPa);
      device.reaches(BASE, pa, { pasid: FIRST });
    },
  },
  {
    id: 'fault',
    title: 'a refusal under a PASID is reported with it',
    needs: ['pasid'],
    run(rig) {
      const { device, page } = withPasid(rig);
      device.refused('read', BASE + page, { pasid: FIRST, reason: 'not-present' });
      device.refused('write', BASE + page, { reason: 'not-present' });
      const [first, second] = rig.takeFaults();
      equal(first!.record.pasid, FIRST, 'PASID of the first report');
      equal(second!.record.pasid, null, 'PASID of the second report');
    },
  },
  {
    id: 'reuse',
    title: 'a PASID used again for a new domain shows nothing of the old one',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, pa } = withPasid(rig);
      device.reaches(BASE, pa, { pasid: FIRST });
      device.detach(FIRST);
      domain.free();
      const next = device.paging(ALLOC.PASID);
      device.attach(next, FIRST);
      device.refused('read', BASE, { pasid: FIRST, reason: 'not-present' });
    },
  },
  {
    id: 'two-devices',
    title: 'one PASID on two devices is two address spaces',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, pa, page } = withPasid(rig);
      const other = rig.device('pasid2');
      other.attached(ALLOC.PASID);
      device.reaches(BASE, pa, { pasid: FIRST });
      other.refused('read', BASE, { pasid: FIRST, reported: 'any' });
      const second = other.paging(ALLOC.PASID);
      const secondPa = rig.ram.take(page, page);
      second.map(BASE, secondPa, page, RW);
      other.attach(second, FIRST);
      for (let round = 0; round < 2; round++) {
        device.reaches(BASE, pa, { pasid: FIRST });
        other.reaches(BASE, secondPa, { pasid: FIRST });
      }
      other.detach(FIRST);
      device.reaches(BASE, pa, { pasid: FIRST });
      other.refused('read', BASE, { pasid: FIRST, reported: 'any' });
      domain.unmap(BASE, page);
      device.refused('read', BASE, { pasid: FIRST, reason: 'not-present' });
    },
  },
  {
    id: 'shared-with-a-device',
    title: 'a domain that serves a device and a PASID of another loses a page for both',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, pa, page } = withPasid(rig);
      const plain = rig.device('b');
      plain.attach(domain);
      const other = rig.device('pasid2');
      other.attached(ALLOC.PASID);
      other.attach(domain, SECOND);
      const all = () => {
        plain.reaches(BASE, pa);
        device.reaches(BASE, pa, { pasid: FIRST });
        other.reaches(BASE, pa, { pasid: SECOND });
      };
      all();
      domain.unmap(BASE, page);
      plain.refused('read', BASE, { reason: 'not-present' });
      device.refused('read', BASE, { pasid: FIRST, reason: 'not-present' });
      other.refused('read', BASE, { pasid: SECOND, reason: 'not-present' });
      domain.map(BASE, pa, page, RW);
      all();
      plain.detach();
      domain.unmap(BASE, page);
      device.refused('write', BASE, { pasid: FIRST, reason: 'not-present' });
      other.refused('write', BASE, { pasid: SECOND, reason: 'not-present' });
    },
  },
  {
    id: 'first-and-last',
    title: 'the first and the last PASID of a device work like any other',
    needs: ['pasid'],
    run(rig) {
      const { device, ownPa, page } = withPasid(rig);
      const ends = [1, device.device.maxPasids - 1];
      const pages = ends.map((one) => {
        const domain = device.paging(ALLOC.PASID);
        const pa = rig.ram.take(page, page);
        domain.map(BASE, pa, page, RW);
        device.attach(domain, one);
        return pa;
      });
      for (let round = 0; round < 2; round++) {
        ends.forEach((one, i) => {
          device.reaches(BASE, pages[i]!, { pasid: one });
        });
        device.reaches(BASE, ownPa);
      }
      for (const one of ends) device.detach(one);
      for (const one of ends) device.refused('read', BASE, { pasid: one, reported: 'any' });
    },
  },
  {
    id: 'every-id',
    title: 'a PASID belongs to every requester id of its device',
    needs: ['pasid'],
    run(rig) {
      const device = rig.device('pasidAlias');
      const ids = device.device.description.requesterIds;
      device.attached(ALLOC.PASID);
      const domains = [device.paging(ALLOC.PASID), device.paging(ALLOC.PASID)];
      const page = domains[0]!.granule;
      const pages = domains.map((domain) => {
        const pa = rig.ram.take(page, page);
        domain.map(BASE, pa, page, RW);
        return pa;
      });
      const reaches = (pa: bigint) => {
        for (const requesterId of ids) device.reaches(BASE, pa, { pasid: FIRST, requesterId });
      };
      const refused = () => {
        for (const requesterId of ids) device.refused('read', BASE, { pasid: FIRST, requesterId, reported: 'any' });
      };
      refused();
      device.attach(domains[0]!, FIRST);
      reaches(pages[0]!);
      device.replace(domains[1]!, FIRST);
      reaches(pages[1]!);
      device.detach(FIRST);
      refused();
    },
  },
  {
    id: 'after-refused-dma',
    title: 'a PASID that was refused before it had a domain works afterwards, wherever its entry stands',
    needs: ['pasid'],
    run(rig) {
      const device = rig.device('pasid2');
      device.attached(ALLOC.PASID);
      for (const one of [2, 700, device.device.maxPasids - 2].filter((it) => it < device.device.maxPasids)) {
        device.refused('read', BASE, { pasid: one, reported: 'any' });
        const domain = device.paging(ALLOC.PASID);
        const pa = rig.ram.take(domain.granule, domain.granule);
        domain.map(BASE, pa, domain.granule, RW);
        device.attach(domain, one);
        device.reaches(BASE, pa, { pasid: one });
      }
    },
  },
  {
    id: 'tag-reuse',
    title: 'a domain that a PASID left and that was freed leaves nothing to the next one with its tags',
    needs: ['pasid'],
    run(rig) {
      const { device, domain, pa } = withPasid(rig);
      device.reaches(BASE, pa, { pasid: FIRST });
      device.replace(device.paging(ALLOC.PASID), FIRST);
      domain.free();
      const next = device.paging(ALLOC.PASID);
      device.attach(next, SECOND);
      device.refused('read', BASE, { pasid: SECOND, reason: 'not-present' });
      device.replace(next, FIRST);
      device.refused('read', BASE, { pasid: FIRST, reason: 'not-present' });
    },
  },
]);
