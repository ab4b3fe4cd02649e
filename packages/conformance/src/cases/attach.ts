import { casesOf } from '../case.ts';
import { equal, hex, ok, refuses, same } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { BASE, scene } from './scene.ts';

export const attach = casesOf('attach', [
  {
    id: 'translates',
    title: 'an attached device reads and writes through its domain',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      ok(device.device.domain === domain, 'the device has another domain');
      equal(domain.users, 1, 'users of the domain');
    },
  },
  {
    id: 'after-blocked-dma',
    title: 'an attach takes effect although the device was refused just before',
    needs: [],
    run(rig) {
      const a = rig.device('a');
      a.refused('read', BASE, { reported: 'blocked' });
      a.refused('write', BASE, { reported: 'blocked' });
      const { device, iova, pa } = scene(rig);
      device.reaches(iova, pa);
    },
  },
  {
    id: 'busy',
    title: 'a second attach is EBUSY and changes nothing',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      const other = device.paging();
      refuses('EBUSY', () => device.attach(other), 'attaching over a domain');
      refuses('EBUSY', () => device.attach(domain), 'attaching the same domain again');
      device.reaches(iova, pa);
      equal(other.users, 0, 'users of the refused domain');
    },
  },
  {
    id: 'other-unit',
    title: 'a domain of another unit is EINVAL, for a device, its PASIDs and its group, and changes nothing',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      const foreign = rig.device('a', rig.addUnit());
      const twin = rig.device('twin');
      rig.device('sibling');
      const theirs = foreign.paging();
      for (const attach of [
        () => foreign.attach(domain),
        () => rig.device('b').attach(theirs),
        () => twin.attach(theirs),
      ])
        refuses('EINVAL', attach, 'attaching a domain of another unit');
      refuses('EINVAL', () => device.replace(theirs), 'replacing by a domain of another unit');
      refuses('EINVAL', () => foreign.attach(device.device.group.blocked), "another unit's blocked domain");
      const able = rig.has('pasid');
      refuses(able ? 'EINVAL' : ['EINVAL', 'EOPNOTSUPP'], () => rig.device('pasid').attach(theirs, 1), 'for a PASID');
      const { driver, handle } = foreign.device;
      refuses('EINVAL', () => domain.ops.attach(handle, driver.blocked), 'the driver, asked to attach it all the same');
      equal(theirs.users, 0, 'users of the refused domain');
      device.reaches(iova, pa);
      foreign.refused('read', iova, { reported: 'blocked' });
    },
  },
  {
    id: 'detach-blocks',
    title: 'a detached device reaches nothing, whatever it reached before',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.detach();
      for (const access of ['read', 'write'] as const) device.refused(access, iova, { reported: 'blocked' });
      equal(device.device.domain.kind, 'blocked', 'domain after detach');
      equal(domain.users, 0, 'users of the domain');
      device.detach();
    },
  },
  {
    id: 'blocked-domain',
    title: 'replacing a domain by the blocked one refuses everything',
    needs: [],
    run(rig) {
      const { device, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.replace(device.device.group.blocked);
      device.refused('read', iova, { reported: 'blocked' });
      device.refused('write', iova, { reported: 'blocked' });
    },
  },
  {
    id: 'again',
    title: 'a domain can be attached again; what was mapped or unmapped meanwhile counts',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.detach();
      equal(domain.unmap(iova, page), page, 'bytes unmapped while detached');
      const next = rig.ram.take(page, page);
      domain.map(iova + page, next, page, RW);
      device.attach(domain);
      device.refused('read', iova, { reason: 'not-present' });
      device.reaches(iova + page, next);
    },
  },
  {
    id: 'shared-domain',
    title: 'two devices may share a domain; one leaving does not disturb the other',
    needs: [],
    run(rig) {
      const { device: a, domain, iova, pa } = scene(rig);
      const b = rig.device('b');
      b.attach(domain);
      equal(domain.users, 2, 'users of the shared domain');
      a.reaches(iova, pa);
      b.reaches(iova, pa);
      a.detach();
      a.refused('read', iova, { reported: 'blocked' });
      b.reaches(iova, pa);
    },
  },
  {
    id: 'free-busy',
    title: 'a domain in use is not freed, a freed one is not attached',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      refuses('EBUSY', () => domain.free(), 'freeing an attached domain');
      device.reaches(iova, pa);
      device.detach();
      domain.free();
      domain.free();
      refuses('ENOENT', () => device.attach(domain), 'attaching a freed domain');
      device.refused('read', iova, { reported: 'blocked' });
    },
  },
  {
    id: 'tag-reuse',
    title: 'a new domain sees nothing of one that was freed, though it may get its tags',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.detach();
      domain.free();
      for (let i = 0; i < 4; i++) {
        const next = device.attached();
        for (const access of ['read', 'write'] as const) device.refused(access, iova, { reason: 'not-present' });
        const fresh = rig.ram.take(page, page);
        next.map(iova, fresh, page, RW);
        device.reaches(iova, fresh);
        device.detach();
        next.free();
      }
    },
  },
  {
    id: 'many-domains',
    title: 'fifty domains hold fifty different pages at one address',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const domains = Array.from({ length: 50 }, () => device.paging());
      const page = domains[0]!.granule;
      const pages = domains.map((domain) => {
        const pa = rig.ram.take(page, page);
        domain.map(BASE, pa, page, RW);
        return pa;
      });
      device.attach(domains[0]!);
      domains.forEach((domain, i) => {
        device.replace(domain);
        device.reaches(BASE, pages[i]!);
      });
      device.replace(domains[0]!);
      device.reaches(BASE, pages[0]!);
    },
  },
  {
    id: 'identity',
    title: 'identity passes addresses through, and stops doing so',
    needs: ['identity-passthrough'],
    run(rig) {
      const a = rig.device('a');
      const places = [rig.ram.take(0x1000n), rig.ram.takeHigh(0x1000n)];
      a.attach(a.device.group.identity);
      for (const pa of places) {
        a.reaches(pa, pa);
        a.reaches(pa + 0xff8n, pa + 0xff8n);
      }
      a.detach();
      for (const pa of places) a.refused('read', pa, { reported: 'blocked' });
    },
    without(rig) {
      const a = rig.device('a');
      const pa = rig.ram.take(0x1000n);
      try {
        a.attach(a.device.group.identity);
      } catch {
        refuses('EOPNOTSUPP', () => a.attach(a.device.group.identity), 'identity on a unit without it');
        a.refused('read', pa, { reported: 'blocked' });
        return;
      }
      a.reaches(pa, pa);
    },
  },
  {
    id: 'no-mixture',
    title: 'while an attach or a detach is under way a DMA sees the page or a refusal, never a third thing',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      const strange: string[] = [];
      const look = () => {
        const at = device.glance(iova);
        if (at !== null && at !== pa) strange.push(hex(at));
        return at !== null;
      };
      for (let round = 0; round < 3; round++) {
        rig.watching(look, () => device.detach());
        device.refused('read', iova, { reported: 'blocked' });
        rig.watching(look, () => device.attach(domain));
        device.reaches(iova, pa);
      }
      same(strange, [], 'addresses that are no page of the domain');
    },
  },
]);
