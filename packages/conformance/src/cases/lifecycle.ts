import { casesOf } from '../case.ts';
import { equal, ok, refuses, same } from '../expect.ts';
import { DEVICES } from '../rig/devices.ts';
import { LeftRunning } from '../rig/left-running.ts';
import { RW } from '../rig/rig.ts';
import { BASE, scene } from './scene.ts';

export const lifecycle = casesOf('lifecycle', [
  {
    id: 'declared-capabilities',
    title: 'the driver finds the capabilities the configuration declares, no more and no fewer',
    needs: [],
    run(rig) {
      same([...rig.capabilities].sort(), [...rig.declared].sort(), 'capabilities');
    },
  },
  {
    id: 'starts-blocked',
    title: 'a device nobody attached reaches nothing',
    needs: [],
    run(rig) {
      const a = rig.device('a');
      const pa = rig.ram.take(0x1_0000n, 0x1_0000n);
      equal(a.device.domain.kind, 'blocked', 'first domain');
      for (const access of ['read', 'write'] as const) a.refused(access, pa, { reported: 'blocked' });
    },
  },
  {
    id: 'starts-blocked-at-every-step',
    title: 'a device reaches nothing while it is being admitted',
    needs: [],
    run(rig) {
      const pa = rig.ram.take(0x1_0000n, 0x1_0000n);
      const id = DEVICES.a.requesterIds[0]!;
      let through = 0;
      rig.watching(
        () => {
          const refused = rig.glance(rig.unit, id, pa) === null;
          if (!refused) through++;
          return !refused;
        },
        () => void rig.device('a'),
      );
      rig.takeFaults();
      equal(through, 0, 'DMA that went through');
      rig.device('a').refused('read', pa, { reported: 'blocked' });
    },
  },
  {
    id: 'unit-known-once',
    title: 'a unit is added once, and taken down only when no device is behind it',
    needs: [],
    run(rig) {
      rig.device('a');
      refuses('EEXIST', () => rig.system.addUnit(rig.unit.driver), 'adding the unit again');
      refuses('EBUSY', () => rig.system.removeUnit(rig.unit.driver), 'removing a unit with a device');
      rig.unplug(rig.device('a'));
      rig.removeUnit(rig.unit);
      refuses('ENOENT', () => rig.system.removeUnit(rig.unit.driver), 'removing it again');
    },
  },
  {
    id: 'comes-back',
    title: 'a unit that was taken down comes up again and translates',
    needs: [],
    run(rig) {
      const { driver } = rig.unit;
      const first = scene(rig);
      first.device.reaches(first.iova, first.pa);
      rig.unplug(first.device);
      first.domain.free();
      const before = [...driver.capabilities].sort();
      rig.system.removeUnit(driver);
      equal(rig.machine.pages.livePages, 0, 'pages a released unit still holds');
      rig.system.addUnit(driver);
      same([...driver.capabilities].sort(), before, 'capabilities the second time');
      rig.device('a').refused('read', BASE, { reported: 'blocked' });
      const { device, page, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.refused('read', iova + page, { reason: 'not-present' });
    },
  },
  {
    id: 'left-running',
    title: 'a unit that somebody left running refuses everything when its driver has come up, and then works',
    needs: [],
    run(rig) {
      const left = new LeftRunning(rig);
      const strange = left.bringUp();
      same(strange, [], 'addresses reached meanwhile that are neither the old page nor the address itself');
      left.refuses();
      left.works();
    },
  },
  {
    id: 'device-ids',
    title: 'a requester id belongs to one device, and a device has at least one',
    needs: [],
    run(rig) {
      rig.device('a');
      const add = (requesterIds: number[]) =>
        rig.system.addDevice(rig.unit.driver, { ...DEVICES.a, name: 'other', requesterIds });
      refuses('EEXIST', () => add([...DEVICES.a.requesterIds]), 'an id that is taken');
      refuses('EEXIST', () => add([0x77, ...DEVICES.a.requesterIds]), 'an alias that is taken');
      refuses('EINVAL', () => add([]), 'no id at all');
      equal(rig.system.devices.length, 1, 'devices after the refusals');
    },
  },
  {
    id: 'unplug-forgets',
    title: 'what a device could reach before it was unplugged, its id cannot reach afterwards',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      rig.unplug(device);
      for (const access of ['read', 'write'] as const) device.refused(access, iova, { reported: 'any' });
      equal(domain.users, 0, 'users of the domain it was attached to');
    },
  },
  {
    id: 'plug-again',
    title: 'a device that comes back starts blocked and can be attached again',
    needs: [],
    run(rig) {
      const { device, domain, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      rig.unplug(device);
      const again = rig.device('a');
      again.refused('read', iova, { reported: 'blocked' });
      again.attach(domain);
      again.reaches(iova, pa);
    },
  },
  {
    id: 'all-ids-of-a-device',
    title: 'every requester id of a device goes through its domain, before and after a switch',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { name: 'alias' });
      const ids = DEVICES.alias.requesterIds;
      for (const requesterId of ids) device.reaches(iova, pa, { requesterId });
      const other = device.paging();
      const otherPa = rig.ram.take(page, page);
      other.map(iova, otherPa, page, RW);
      device.replace(other);
      for (const requesterId of ids) device.reaches(iova, otherPa, { requesterId });
      device.detach();
      for (const requesterId of ids) device.refused('read', iova, { requesterId, reported: 'any' });
      ok(domain.users === 0 && other.users === 0, 'a detached domain has users');
    },
  },
  {
    id: 'cycles-leave-nothing',
    title: 'plugging, attaching, mapping and undoing it many times takes no more memory than once',
    needs: [],
    run(rig) {
      const cycle = () => {
        const device = rig.device('a');
        const domain = device.device.allocPaging();
        device.attach(domain);
        domain.map(BASE, rig.ram.take(domain.granule, domain.granule), domain.granule, RW);
        domain.unmap(BASE, domain.granule);
        device.detach();
        domain.free();
        rig.unplug(device);
      };
      cycle();
      const once = rig.machine.pages.livePages;
      for (let i = 0; i < 20; i++) cycle();
      equal(rig.machine.pages.livePages, once, 'pages after 20 more cycles');
    },
  },
  {
    id: 'plug-after-dma',
    title: 'an id that was refused before its device was plugged in works afterwards',
    needs: [],
    run(rig) {
      const a = rig.device('a');
      for (const requesterId of [...DEVICES.b.requesterIds, ...DEVICES.alias.requesterIds])
        a.refused('read', BASE, { requesterId, reported: 'any' });
      for (const name of ['b', 'alias'] as const) {
        const { device, iova, pa } = scene(rig, { name });
        for (const requesterId of DEVICES[name].requesterIds) device.reaches(iova, pa, { requesterId });
      }
    },
  },
]);
