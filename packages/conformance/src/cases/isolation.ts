import { casesOf } from '../case.ts';
import { equal, ok } from '../expect.ts';
import { RW } from '../rig/rig.ts';
import { BASE, scene } from './scene.ts';

export const isolation = casesOf('isolation', [
  {
    id: 'same-address',
    title: 'two devices with domains of their own use one address for two pages',
    needs: [],
    run(rig) {
      const { device: a, iova, pa } = scene(rig);
      const { device: b, pa: other } = scene(rig, { name: 'b' });
      for (let round = 0; round < 3; round++) {
        a.reaches(iova, pa);
        b.reaches(iova, other);
      }
    },
  },
  {
    id: 'unmapped-there',
    title: "what is mapped for one device is not mapped for another, though the first one's is in the cache",
    needs: [],
    run(rig) {
      const { device: a, iova, pa } = scene(rig);
      const b = rig.device('b');
      b.attached();
      a.reaches(iova, pa);
      b.refused('read', iova, { reason: 'not-present' });
      b.refused('write', iova, { reason: 'not-present' });
    },
  },
  {
    id: 'blocked-there',
    title: 'a blocked device does not get through on what another one left in the cache',
    needs: [],
    run(rig) {
      const { device: a, iova, pa } = scene(rig);
      a.reaches(iova, pa);
      rig.device('b').refused('read', iova, { reported: 'blocked' });
    },
  },
  {
    id: 'detach-one',
    title: 'detaching, replacing and unplugging one device leaves the other as it was',
    needs: [],
    run(rig) {
      const { device: a, iova, pa } = scene(rig);
      const { device: b, page, pa: other } = scene(rig, { name: 'b' });
      b.reaches(iova, other);
      a.reaches(iova, pa);
      a.detach();
      b.reaches(iova, other);
      const domain = a.attached();
      const third = rig.ram.take(page, page);
      domain.map(iova, third, page, RW);
      a.reaches(iova, third);
      b.reaches(iova, other);
      rig.unplug(a);
      b.reaches(iova, other);
    },
  },
  {
    id: 'two-units',
    title: 'two units with the same ids and the same addresses do not know each other',
    needs: [],
    run(rig) {
      const { device: a, domain, page, iova, pa } = scene(rig);
      const second = rig.device('a', rig.addUnit());
      second.refused('read', iova, { reported: 'blocked' });
      const other = second.attached();
      const otherPa = rig.ram.take(page, page);
      other.map(iova, otherPa, page, RW);
      a.reaches(iova, pa);
      second.reaches(iova, otherPa);
      domain.unmap(iova, page);
      a.refused('read', iova, { reason: 'not-present' });
      second.reaches(iova, otherPa);
      a.detach();
      second.reaches(iova, otherPa);
    },
  },
  {
    id: 'unit-of-a-fault',
    title: 'a fault is reported by the unit it happened on',
    needs: [],
    run(rig) {
      const a = rig.device('a');
      const second = rig.device('a', rig.addUnit());
      a.attached();
      second.attached();
      second.refused('read', BASE, { reason: 'not-present' });
      a.refused('read', BASE, { reason: 'not-present' });
      const [first, last] = rig.takeFaults();
      ok(first!.driver === second.device.driver && last!.driver === a.device.driver, 'a fault of the wrong unit');
    },
  },
  {
    id: 'unit-leaves',
    title: 'a unit taken down leaves the other one working',
    needs: [],
    run(rig) {
      const { device: a, iova, pa } = scene(rig);
      const unit = rig.addUnit();
      const second = rig.device('b', unit);
      const domain = second.paging();
      second.attach(domain);
      second.detach();
      domain.free();
      rig.unplug(second);
      rig.removeUnit(unit);
      a.reaches(iova, pa);
      equal(rig.system.devices.length, 1, 'devices left');
    },
  },
  {
    id: 'ids-near-and-far',
    title: 'devices whose ids are close to each other, or at the end of a table, have domains of their own',
    needs: [],
    run(rig) {
      const names = ['a', 'b', 'last', 'twin', 'alias', 'pasid'] as const;
      const scenes = names.map((name) => scene(rig, { name }));
      for (let round = 0; round < 2; round++) for (const { device, iova, pa } of scenes) device.reaches(iova, pa);
      const gone = scenes[2]!;
      gone.domain.unmap(gone.iova, gone.page);
      gone.device.refused('read', gone.iova, { reason: 'not-present' });
      rig.unplug(scenes[1]!.device);
      for (const { device, iova, pa } of [0, 3, 4, 5].map((i) => scenes[i]!)) device.reaches(iova, pa);
      gone.device.refused('read', gone.iova, { reason: 'not-present' });
    },
  },
]);
