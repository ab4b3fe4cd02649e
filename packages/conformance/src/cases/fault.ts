import { casesOf } from '../case.ts';
import { equal, ok } from '../expect.ts';
import { STRANGER } from '../rig/devices.ts';
import { RW } from '../rig/rig.ts';
import { faultLog } from './fault-log.ts';
import { BASE, RO, scene } from './scene.ts';

const reports = casesOf('fault', [
  {
    id: 'not-present',
    title: 'a refused read and a refused write are reported once each, with address, device and access',
    needs: [],
    run(rig) {
      const { device, iova, page } = scene(rig);
      for (const offset of [0n, 8n, page - 8n]) {
        device.refused('read', iova + page + offset, { reason: 'not-present' });
        device.refused('write', iova + page + offset, { reason: 'not-present' });
      }
      equal(rig.faults.length, 6, 'reports');
    },
  },
  {
    id: 'permission',
    title: 'a refused write to a read-only page is reported once',
    needs: [],
    run(rig) {
      const { device, iova } = scene(rig, { prot: RO });
      device.refused('write', iova + 8n, { reason: 'permission' });
      equal(rig.faults.length, 1, 'reports');
    },
  },
  {
    id: 'native-record',
    title: 'a report carries the native record, as the unit made it',
    needs: [],
    run(rig) {
      const { device, iova, page } = scene(rig);
      const { record } = device.refused('read', iova + page, { reason: 'not-present' });
      const [report] = rig.takeFaults();
      ok(record !== null && record.length > 0, 'the unit made no record');
      ok(report!.record.raw.length > 0, 'the report has no native record');
      ok(report!.record.name !== 'ABORT' && report!.record.name.length > 0, 'the report has no native name');
    },
  },
  {
    id: 'blocked',
    title: 'DMA of a blocked device is refused, and reported where the vendor says so',
    needs: ['reports-blocked'],
    run(rig) {
      const a = rig.device('a');
      a.refused('read', BASE);
      a.refused('write', BASE + 0x1000n);
      equal(rig.faults.length, 2, 'reports');
    },
    without(rig) {
      const a = rig.device('a');
      a.refused('read', BASE, { reported: false });
      a.refused('write', BASE, { reported: false });
    },
  },
  {
    id: 'whose',
    title: "each device's refusals are reported as its own",
    needs: [],
    run(rig) {
      const a = rig.device('a');
      const b = rig.device('b');
      a.attached();
      b.attached();
      for (let i = 0n; i < 4n; i++) {
        a.refused('read', BASE + i * 0x1_0000n, { reason: 'not-present' });
        b.refused('write', BASE + i * 0x1_0000n, { reason: 'not-present' });
      }
      const owners = rig.takeFaults().map(({ device }) => device);
      owners.forEach((owner, i) => {
        ok(owner === (i % 2 === 0 ? a : b).device, `report ${i} is another device's`);
      });
    },
  },
  {
    id: 'in-order',
    title: 'refusals are reported in the order they happened',
    needs: [],
    run(rig) {
      const { device, iova, page } = scene(rig);
      const at = [7n, 3n, 11n, 5n, 9n].map((n) => iova + n * page);
      for (const one of at) device.refused('read', one, { reason: 'not-present' });
      const told = rig.takeFaults().map(({ record }) => record.iova);
      told.forEach((address, i) => {
        if (address !== null) equal(address & ~0xfffn, at[i]! & ~0xfffn, `address of report ${i}`);
      });
    },
  },
  {
    id: 'retry',
    title: 'after a refusal the page is mapped and the DMA done again',
    needs: [],
    run(rig) {
      const { device, domain, iova, page } = scene(rig);
      const pa = rig.ram.take(page, page);
      device.refused('write', iova + page, { reason: 'not-present' });
      domain.map(iova + page, pa, page, RW);
      device.reaches(iova + page, pa);
      rig.takeFaults();
      device.reaches(iova + page, pa);
      equal(rig.takeFaults().length, 0, 'reports without a refusal');
    },
  },
  {
    id: 'partial-transfer',
    title: 'a DMA that runs into a hole moves what lies before it and nothing after',
    needs: [],
    run(rig) {
      const { device, domain, iova, page, pa } = scene(rig);
      const beyond = rig.ram.take(page, page);
      domain.map(iova + page * 2n, beyond, page, RW);
      const length = Number(page) * 3;
      const before = rig.ram.read(beyond, 8);
      const result = device.dma('write', iova, {}, new Uint8Array(length).fill(0xa5));
      ok(!result.ok, 'a DMA over a hole went through');
      equal(result.done, Number(page), 'bytes moved');
      ok(
        rig.ram.read(pa, Number(page)).every((byte) => byte === 0xa5),
        'bytes before the hole are missing',
      );
      equal(Buffer.compare(rig.ram.read(beyond, 8), before), 0, 'bytes beyond the hole were written');
      equal(rig.takeFaults().length, 1, 'reports');
    },
  },
  {
    id: 'stranger',
    title: 'a requester id that no device has reaches nothing, and disturbs nobody',
    needs: [],
    run(rig) {
      const { device, iova, pa } = scene(rig);
      device.reaches(iova, pa);
      device.refused('read', iova, { requesterId: STRANGER, reported: 'any' });
      device.refused('write', iova, { requesterId: STRANGER, reported: 'any' });
      for (const { record } of rig.takeFaults()) equal(record.device, STRANGER, 'device of a report');
      device.reaches(iova, pa);
    },
  },
  {
    id: 'flood',
    title: 'a thousand refusals leave the unit able to translate and to report',
    needs: [],
    run(rig) {
      const { device, iova, page, pa } = scene(rig);
      for (let i = 0; i < 1000; i++) device.endpoint.write(iova + page * BigInt(1 + (i % 64)), new Uint8Array(8));
      rig.settle();
      const told = rig.takeFaults().length;
      ok(told >= 1 && told <= 1000, `${told} reports of 1000 refusals`);
      device.reaches(iova, pa);
      device.refused('read', iova + page, { reason: 'not-present' });
    },
  },
  {
    id: 'burst',
    title: 'refusals that come before software looks are reported or counted as lost, never invented',
    needs: [],
    run(rig) {
      const { device, iova, page } = scene(rig);
      const wild: bigint[] = [];
      rig.machine.schedule = { afterPolls: 50 };
      for (let i = 1n; i <= 20n; i++) {
        device.endpoint.read(iova + i * page, 8);
        wild.push((iova + i * page) & ~0xfffn);
      }
      rig.settle();
      for (const { record } of rig.takeFaults()) {
        equal(record.device, device.id, 'device of a report');
        if (record.iova !== null) ok(wild.includes(record.iova & ~0xfffn), 'a report of an address nobody touched');
      }
    },
  },
  {
    id: 'nobody-listens',
    title: 'without a listener refusals are refused all the same',
    needs: [],
    run(rig) {
      const { device, iova, page, pa } = scene(rig);
      rig.unit.driver.onFault(null);
      device.refused('read', iova + page, { reason: 'not-present', reported: false });
      device.reaches(iova, pa);
    },
  },
  {
    id: 'outside-operations',
    title: 'faults that happen during an operation are reported when the unit has no more to do for it',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { name: 'alias' });
      device.reaches(iova, pa);
      let told = 0;
      let early = 0;
      let busy = false;
      const stop = rig.system.onFault(() => {
        told++;
      });
      rig.unit.hardware.probe = {
        command: () => {
          if (busy && told > 0) early++;
        },
      };
      const during = (operation: () => void) => {
        told = 0;
        busy = true;
        rig.watching(() => device.glance(iova + page * 4n) !== null, operation);
        busy = false;
      };
      during(() => device.detach());
      during(() => device.attach(domain));
      device.reaches(iova, pa);
      rig.unit.hardware.probe = null;
      stop();
      equal(early, 0, 'native commands after a report in the same operation');
    },
  },
  {
    id: 'operation-is-over',
    title: 'when a fault of an operation is told, what the operation unmapped or detached is out of reach already',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig, { name: 'alias' });
      rig.device('b').attached();
      let early = 0;
      let watched = false;
      const stop = rig.system.onFault(() => {
        if (!watched) return;
        watched = false;
        if (device.glance(iova) !== null) early++;
      });
      const during = (operation: () => void) => {
        device.reaches(iova, pa);
        watched = true;
        rig.watching(() => device.glance(iova + page * 4n) !== null, operation);
        watched = false;
      };
      during(() => domain.unmap(iova, page));
      domain.map(iova, pa, page, RW);
      during(() => device.detach());
      stop();
      equal(early, 0, 'operations that were still under way');
    },
  },
  {
    id: 'listener-acts',
    title: 'a listener may map what was missing, and unmap it again',
    needs: [],
    run(rig) {
      const { device, domain, page, iova, pa } = scene(rig);
      const missing = iova + page * 4n;
      const extra = rig.ram.take(page, page);
      const stop = rig.system.onFault(() => {
        if (domain.iovaToPhys(missing) === null) domain.map(missing, extra, page, RW);
        else equal(domain.unmap(missing, page), page, 'bytes unmapped by the listener');
      });
      device.dma('read', missing);
      device.reaches(missing, extra);
      device.dma('read', missing + page);
      equal(domain.iovaToPhys(missing), null, 'what the listener unmapped');
      stop();
      device.refused('read', missing, { reason: 'not-present' });
      device.reaches(iova, pa);
    },
  },
]);

export const fault = [...reports, ...faultLog];
