import { casesOf } from '../case.ts';
import { equal, ok, refuses, same } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { scene } from './scene.ts';

export const information = casesOf('information', [
  {
    id: 'hw-info',
    title: 'identification registers come with a type, and do not change',
    needs: ['hw-info'],
    run(rig) {
      const { device } = rig.device('a');
      const info = device.hwInfo();
      ok(info !== null && info.type !== 0 && info.bytes.length > 0, 'no information');
      scene(rig);
      const again = device.hwInfo(info.type);
      same([...again!.bytes], [...info.bytes], 'information asked for by its type');
      equal(again!.type, info.type, 'type');
      again!.bytes.fill(0xee);
      same([...device.hwInfo()!.bytes], [...info.bytes], 'information after the caller scribbled on a copy');
    },
    without(rig) {
      equal(rig.device('a').device.hwInfo(), null, 'information');
    },
  },
  {
    id: 'unknown-type',
    title: 'an unknown type of information is EOPNOTSUPP',
    needs: [],
    run(rig) {
      refuses('EOPNOTSUPP', () => rig.device('a').device.hwInfo(0x7fff_fff0), 'type 0x7ffffff0');
    },
  },
  {
    id: 'coherency',
    title: 'a domain held to cache coherency stays so',
    needs: ['enforce-cache-coherency'],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      ok(device.device.capable('enforce-cache-coherency'), 'the device is coherent but not capable');
      equal(domain.enforcesCacheCoherency, false, 'coherency before it is asked for');
      ok(domain.enforceCacheCoherency(), 'coherency was refused');
      ok(domain.enforceCacheCoherency(), 'coherency was refused the second time');
      device.reaches(iova, pa);
      device.detach();
      ok(domain.enforcesCacheCoherency, 'coherency was lost with the device');
      device.attach(domain);
      device.reaches(iova, pa);
    },
    without(rig) {
      const { device, domain, iova, pa } = scene(rig);
      equal(device.device.capable('enforce-cache-coherency'), false, 'capability of the device');
      equal(domain.enforceCacheCoherency(), false, 'coherency');
      equal(domain.enforcesCacheCoherency, false, 'coherency after the refusal');
      device.reaches(iova, pa);
    },
  },
  {
    id: 'coherency-of-all',
    title: 'a domain with a device that cannot be held to coherency cannot be either',
    needs: ['enforce-cache-coherency'],
    run(rig) {
      const loose = rig.device('loose');
      const able = loose.device.capable('enforce-cache-coherency');
      const { domain, page, iova, pa } = scene(rig, { name: 'loose' });
      equal(domain.enforceCacheCoherency(), able, 'coherency');
      loose.reaches(iova, pa);
      const strict = rig.device('a').paging();
      ok(strict.enforceCacheCoherency(), 'coherency was refused');
      const strictPa = rig.ram.take(page, page);
      strict.map(iova, strictPa, page, RW);
      if (able) {
        loose.replace(strict);
        loose.reaches(iova, strictPa);
      } else {
        refuses('EINVAL', () => loose.replace(strict), 'a device that cannot be held to coherency');
        loose.reaches(iova, pa);
      }
    },
  },
  {
    id: 'per-device-answers',
    title: 'what a device is capable of agrees with what the unit is',
    needs: [],
    run(rig) {
      const { device } = rig.device('a');
      const { device: withPasid } = rig.device('pasid');
      equal(withPasid.maxPasids > 0, rig.has('pasid'), 'PASIDs of a device that can send them');
      equal(withPasid.capable('pasid'), rig.has('pasid'), 'pasid');
      equal(device.maxPasids, 0, 'PASIDs of a device that sends none');
      equal(device.capable('pasid'), false, 'pasid of a device that sends none');
      equal(device.capable('dirty-tracking'), rig.has('dirty-tracking'), 'dirty-tracking');
    },
  },
  {
    id: 'unknown-flags',
    title: 'flags and data a vendor does not know are EOPNOTSUPP and leave nothing behind',
    needs: [],
    run(rig) {
      const { device } = rig.device('a');
      const before = rig.machine.pages.livePages;
      refuses('EOPNOTSUPP', () => device.allocPaging(1 << 20), 'an unknown flag');
      refuses('EOPNOTSUPP', () => device.allocPaging(0, { type: 0x7fff, bytes: new Uint8Array(8) }), 'unknown data');
      equal(rig.machine.pages.livePages, before, 'pages after the refusals');
    },
  },
]);
