import type { ReservedRegion } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, ok, same } from '../expect.ts';
import { BUS_WINDOW } from '../rig/devices.ts';
import { RESERVATIONS } from '../rig/rig.ts';
import type { RigDevice } from '../rig/rig-device.ts';
import { scene } from './scene.ts';

const TYPES = ['direct', 'direct-relaxable', 'reserved', 'msi', 'sw-msi'];

const firmwareRegions = (device: RigDevice): ReservedRegion[] =>
  device.device.reservedRegions().filter(({ type }) => type === 'direct' || type === 'direct-relaxable');

export const reserved = casesOf('reserved', [
  {
    id: 'well-formed',
    title: 'every reserved region has a known type and ends after it starts',
    needs: [],
    run(rig) {
      for (const { start, last, type } of rig.device('b').device.reservedRegions()) {
        ok(TYPES.includes(type), `type ${type}`);
        ok(start >= 0n && start <= last && last < 1n << 64n, `a ${type} region ends before it starts`);
      }
    },
  },
  {
    id: 'interrupts-have-a-place',
    title: 'some region is kept for message interrupts, by hardware or by software',
    needs: [],
    run(rig) {
      const kinds = rig
        .device('b')
        .device.reservedRegions()
        .map(({ type }) => type);
      const places = kinds.filter((type) => type === 'msi' || type === 'sw-msi');
      ok(places.length > 0, 'no region for message interrupts');
      ok(new Set(places).size === 1, 'both hardware and software keep a region for message interrupts');
    },
  },
  {
    id: 'firmware',
    title: "firmware's regions are listed for the devices it names, with their kind, and for no other",
    needs: [],
    run(rig) {
      const found = firmwareRegions(rig.device('a')).map(({ start, last, type }) => ({ start, last, type }));
      const asked = RESERVATIONS.map(({ start, last, relaxable }) => ({
        start,
        last,
        type: relaxable ? 'direct-relaxable' : 'direct',
      }));
      found.sort((x, y) => (x.start < y.start ? -1 : 1));
      same(found, asked, 'direct regions');
      same(firmwareRegions(rig.device('b')), [], 'direct regions of a device firmware does not name');
    },
  },
  {
    id: 'do-not-change',
    title: 'the list does not depend on what is attached or mapped',
    needs: [],
    run(rig) {
      const device = rig.device('a');
      const before = device.device.reservedRegions();
      scene(rig);
      same(device.device.reservedRegions(), before, 'regions while attached');
      device.detach();
      same(device.device.reservedRegions(), before, 'regions after detach');
    },
  },
  {
    id: 'bus-limits',
    title: 'what the bus does not let through is reserved, and DMA there never reaches the unit',
    needs: [],
    run(rig) {
      const limited = rig.device('limited');
      const regions = limited.device.reservedRegions();
      const holds = (address: bigint) =>
        regions.some(({ start, last, type }) => type === 'reserved' && start <= address && address <= last);
      for (const address of [0n, BUS_WINDOW.start - 1n, BUS_WINDOW.last + 1n, (1n << 64n) - 1n])
        ok(holds(address), `0x${address.toString(16)} is not reserved`);
      ok(!holds(BUS_WINDOW.start) && !holds(0x4000_0000n), 'the bus window is reserved');
      const { device, iova, pa } = scene(rig, { name: 'limited' });
      device.reaches(iova, pa);
      const { atBus } = device.refused('read', BUS_WINDOW.last + 1n, { reported: false });
      ok(atBus, 'the unit saw a request the bus does not let through');
      equal(rig.faults.length, 0, 'reports');
    },
  },
]);
