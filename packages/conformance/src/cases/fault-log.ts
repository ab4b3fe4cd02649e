import { casesOf } from '../case.ts';
import { equal, ok } from '../expect.ts';
import { DirectPort } from '../rig/direct-port.ts';
import type { Rig } from '../rig/rig.ts';
import { BASE, RO, type Scene, scene } from './scene.ts';

/** More refusals than any log holds. */
const LIMIT = 20_000;
/** Refusals after the first that finds no room. */
const AFTER_FULL = 40;

/** Refusals at one place after the other, with software looking away, until the log had no room for some. */
function overflow(rig: Rig, { device, page }: Scene): bigint[] {
  const port = new DirectPort(device);
  const recorded: bigint[] = [];
  let lost = 0;
  for (let n = 1; n <= LIMIT && lost < AFTER_FULL; n++) {
    const iova = BASE + BigInt(n) * page;
    ok(!port.passes('read', iova), 'a read of an address that is not mapped went through');
    if (port.answer.recordWords > 0) recorded.push(iova);
    else lost++;
  }
  ok(recorded.length > 0, 'the unit recorded none of the refusals');
  rig.settle();
  return recorded;
}

/** What was reported since the last look is `recorded`, in that order. */
function expectReports(rig: Rig, { device }: Scene, recorded: readonly bigint[]): void {
  const reports = rig.takeFaults().map(({ record }) => record);
  equal(reports.length, recorded.length, 'reports of what the unit recorded');
  reports.forEach((report, i) => {
    equal(report.device, device.id, `device of report ${i}`);
    if (report.iova !== null) equal(report.iova & ~0xfffn, recorded[i]! & ~0xfffn, `address of report ${i}`);
  });
}

/** Cases on a log without room. */
export const faultLog = casesOf('fault', [
  {
    id: 'log-full',
    title: 'a full log keeps what it has: the oldest refusals are reported in order, later ones are lost',
    needs: [],
    run(rig) {
      const known = scene(rig);
      expectReports(rig, known, overflow(rig, known));
    },
  },
  {
    id: 'after-overflow',
    title: 'when a full log was read the unit records and reports again, as often as it happens',
    needs: [],
    run(rig) {
      const known = scene(rig);
      const { device, iova, page, pa } = known;
      for (let round = 0; round < 3; round++) {
        expectReports(rig, known, overflow(rig, known));
        device.refused('write', iova + page, { reason: 'not-present' });
        device.reaches(iova, pa);
        rig.takeFaults();
      }
    },
  },
  {
    id: 'record-or-none',
    title: 'an answer has a record when the refusal was recorded and none when not, whatever the last answer had',
    needs: [],
    run(rig) {
      const { device, iova } = scene(rig, { prot: RO });
      const ports = [new DirectPort(device), new DirectPort(rig.device('b'))] as const;
      for (const access of ['write', 'read', 'write'] as const)
        for (const port of ports) {
          port.answer.recordWords = 3;
          if (port.passes(access, iova)) continue;
          const { recordWords } = port.answer;
          rig.settle();
          equal(recordWords > 0, rig.takeFaults().length === 1, 'a record in the answer to a refusal');
        }
    },
  },
]);
