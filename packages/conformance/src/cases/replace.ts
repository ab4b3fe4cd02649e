import { casesOf } from '../case.ts';
import { equal, hex, ok, refuses, same } from '../expect.ts';
import { type Rig, RW } from '../rig/rig.ts';
import { BASE, type Scene, scene } from './scene.ts';

/** A second domain that maps the same address to another page. */
function rival(rig: Rig, { device, page, iova }: Scene) {
  const domain = device.paging();
  const pa = rig.ram.take(page, page);
  domain.map(iova, pa, page, RW);
  return { domain, pa };
}

export const replace = casesOf('replace', [
  {
    id: 'switches',
    title: 'after a replace the new domain counts, though the old one was in every cache',
    needs: [],
    run(rig) {
      const first = scene(rig);
      const second = rival(rig, first);
      const { device, domain, iova, pa } = first;
      for (let i = 0; i < 3; i++) {
        device.reaches(iova, pa);
        device.replace(second.domain);
        device.reaches(iova, second.pa);
        device.replace(domain);
      }
      device.reaches(iova, pa);
      equal(second.domain.users, 0, 'users of the domain that was left');
    },
  },
  {
    id: 'unattached',
    title: 'nothing attached: replace is EINVAL',
    needs: [],
    run(rig) {
      const a = rig.device('a');
      const domain = a.paging();
      refuses('EINVAL', () => a.replace(domain), 'replacing nothing');
      equal(domain.users, 0, 'users of the refused domain');
      a.refused('read', BASE, { reported: 'blocked' });
    },
  },
  {
    id: 'same',
    title: 'replacing a domain by itself changes nothing',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      device.replace(domain);
      equal(domain.users, 1, 'users of the domain');
      device.reaches(iova, pa);
    },
  },
  {
    id: 'identity-and-back',
    title: 'a device goes from a paging domain to identity and back',
    needs: ['identity-passthrough'],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.replace(device.device.group.identity);
      device.reaches(pa, pa);
      device.replace(domain);
      device.reaches(iova, pa);
      device.refused('read', pa, { reason: 'not-present' });
    },
  },
  {
    id: 'no-mixture',
    title: 'while a replace is under way a DMA sees the old page, the new page or a refusal, never a third thing',
    needs: [],
    run(rig) {
      const first = scene(rig);
      const second = rival(rig, first);
      const { device, iova, pa } = first;
      device.reaches(iova, pa);
      const strange: string[] = [];
      rig.watching(
        () => {
          const at = device.glance(iova);
          if (at !== null && at !== pa && at !== second.pa) strange.push(hex(at));
          return at !== null;
        },
        () => device.replace(second.domain),
      );
      same(strange, [], 'addresses of neither domain');
      device.reads(iova, second.pa);
    },
  },
  {
    id: 'foreign-domain',
    title: 'a domain of another unit is EINVAL, and the old one stays in force',
    needs: [],
    run(rig) {
      const { device, iova, pa } = scene(rig);
      const stranger = rig.device('b', rig.addUnit()).paging();
      refuses('EINVAL', () => device.replace(stranger), 'replacing by a foreign domain');
      device.reaches(iova, pa);
      device.detach();
      refuses('EINVAL', () => device.attach(stranger), 'attaching a foreign domain');
      device.refused('read', iova, { reported: 'blocked' });
      equal(stranger.users, 0, 'users of the foreign domain');
    },
  },
  {
    id: 'chain',
    title: 'a freed domain that was replaced long ago is gone from every cache',
    needs: [],
    run(rig) {
      const first = scene(rig);
      const second = rival(rig, first);
      const { device, domain, iova, pa } = first;
      device.reaches(iova, pa);
      device.replace(second.domain);
      device.reaches(iova, second.pa);
      domain.free();
      const third = device.paging();
      device.replace(third);
      device.refused('read', iova, { reason: 'not-present' });
      ok(third.unmap(iova, first.page) === 0n, 'an empty domain has something mapped');
    },
  },
  {
    id: 'identity-no-mixture',
    title: 'going to identity and back, a DMA sees the page, its own address or a refusal, never a third thing',
    needs: ['identity-passthrough'],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      const { identity } = device.device.group;
      const strange: string[] = [];
      const look = () => {
        const at = device.glance(iova);
        if (at !== null && at !== pa && at !== iova) strange.push(hex(at));
        return at !== null;
      };
      for (let round = 0; round < 2; round++) {
        device.reaches(iova, pa);
        rig.watching(look, () => device.replace(identity));
        device.reaches(pa, pa);
        rig.watching(look, () => device.replace(domain));
      }
      device.reaches(iova, pa);
      same(strange, [], 'addresses of neither domain');
    },
  },
]);
