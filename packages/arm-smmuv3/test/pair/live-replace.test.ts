import { hex, toBig } from '@iommukit/bits';
import {
  type Device,
  type Domain,
  faultReasonName,
  IommuSystem,
  OUTCOME,
  type PagingDomain,
  PROT,
} from '@iommukit/core';
import { type Endpoint, Machine, type Schedule } from '@iommukit/machine';
import { describe, expect, test } from 'vitest';
import { CONFIGS } from '../../src/configs.ts';
import { armSmmuV3 } from '../../src/plugin.ts';

const RW = PROT.READ | PROT.WRITE | PROT.CACHE;
const IOVA = 0x4000_0000;
const SCHEDULES: readonly Schedule[] = ['at-once', { afterPolls: 3 }, { seed: 7 }];

interface Live {
  readonly machine: Machine;
  readonly system: IommuSystem;
  readonly device: Device;
  readonly endpoint: Endpoint;
  identity(): Domain;
}

function liveRig(configName: string, schedule: Schedule, pasidBits = 0): Live {
  const config = CONFIGS.find(({ name }) => name === configName);
  if (config === undefined) throw new Error(`no configuration ${configName}`);
  const machine = new Machine({ schedule, record: true });
  const unit = machine.addUnit(armSmmuV3, config);
  const system = new IommuSystem();
  system.addUnit(unit.driver);
  const endpoint = unit.endpoint({ requesterIds: [0x10], pasidBits, coherent: true });
  const device = system.addDevice(unit.driver, endpoint.description);
  return { machine, system, device, endpoint, identity: () => device.group.identity };
}

/** A domain in which the test's address leads to `pa`. */
function domainTo(live: Live, pa: bigint, flags = 0): PagingDomain {
  const domain = live.device.allocPaging(flags);
  domain.map(BigInt(IOVA), pa, domain.granule, RW);
  return domain;
}

/** What one read found: where it went, or why not. */
function reach({ endpoint }: Live): string {
  const outcome = endpoint.translate(0, IOVA, 0);
  const { answer } = endpoint;
  if (outcome !== OUTCOME.FAULT) return hex(toBig(answer.paHi, answer.paLo));
  return answer.code < 0 ? 'ABORT' : `${armSmmuV3.faultName(answer.code)} (${faultReasonName(answer.reason)})`;
}

/** Everything a device that never stops saw while `change` ran, without repetitions. */
function seenDuring(live: Live, change: () => void): string[] {
  const seen: string[] = [];
  let busy = false;
  const look = (): void => {
    if (busy) return;
    busy = true;
    const now = reach(live);
    if (seen.at(-1) !== now) seen.push(now);
    busy = false;
  };
  look();
  const stop = live.machine.observe({ memory: look, read: look, write: look });
  change();
  stop();
  look();
  return seen;
}

const OLD = '0x80000000';
const NEW = '0x90000000';
const SAME = hex(IOVA);

describe.each(SCHEDULES.map((schedule) => ({ schedule, name: JSON.stringify(schedule) })))(
  'hardware $name',
  ({ schedule }) => {
    test.each(['s1-4k', 's1-16k', 's1-64k', 'nested-4k', 'no-ril'])(
      '%s: from one stage 1 to another nothing is refused, in no moment',
      (config) => {
        const live = liveRig(config, schedule);
        const [from, to] = [domainTo(live, BigInt(OLD)), domainTo(live, BigInt(NEW))];
        live.device.attach(from);
        expect(seenDuring(live, () => live.device.replace(to))).toEqual([OLD, NEW]);
        expect(seenDuring(live, () => live.device.replace(from))).toEqual([NEW, OLD]);
      },
    );

    test.each(['s1-4k', 's2-4k', 's2-64k', 's2-4k-40bit', 'nested-4k', 'no-ril'])(
      '%s: to identity and back nothing is refused',
      (config) => {
        const live = liveRig(config, schedule);
        const domain = domainTo(live, BigInt(OLD));
        live.device.attach(domain);
        expect(seenDuring(live, () => live.device.replace(live.identity()))).toEqual([OLD, SAME]);
        expect(seenDuring(live, () => live.device.replace(domain))).toEqual([SAME, OLD]);
      },
    );

    test.each(['s1-4k', 's2-4k', 'nested-4k'])('%s: attach and detach show the domain or nothing', (config) => {
      const live = liveRig(config, schedule);
      const domain = domainTo(live, BigInt(OLD));
      expect(seenDuring(live, () => live.device.attach(domain))).toEqual(['ABORT', OLD]);
      expect(seenDuring(live, () => live.device.detach())).toEqual([OLD, 'ABORT']);
    });

    test.each<[string, number, string]>([
      ['s2-4k', 0, 'C_BAD_STE (bad-config)'],
      ['nested-4k', 1, 'C_BAD_STE (bad-config)'],
    ])(
      '%s: where two words must change the stream is refused in between, and no mixture is seen',
      (config, flags, refusal) => {
        const live = liveRig(config, schedule);
        const [from, to] = [domainTo(live, BigInt(OLD)), domainTo(live, BigInt(NEW), flags)];
        live.device.attach(from);
        expect(seenDuring(live, () => live.device.replace(to))).toEqual([OLD, refusal, NEW]);
      },
    );

    test.each([4, 10, 16])('a device with %i bits of PASID moves to a copy of its CD table', (pasidBits) => {
      const live = liveRig('s1-4k', schedule, pasidBits);
      const [from, to] = [domainTo(live, BigInt(OLD)), domainTo(live, BigInt(NEW))];
      live.device.attach(from);
      live.device.attach(to, 3);
      const pages = live.machine.pages.livePages;
      expect(seenDuring(live, () => live.device.replace(to))).toEqual([OLD, NEW]);
      expect(seenDuring(live, () => live.device.replace(from))).toEqual([NEW, OLD]);
      expect(live.machine.pages.livePages).toBe(pages);
      expect([live.endpoint.translate(0, IOVA, 0, 3), live.endpoint.answer.paLo >>> 0]).toEqual([0, Number(NEW)]);
    });

    test('no memory for the copy: the CD changes where it is, refused in between, and nothing is lost', () => {
      for (const nth of [1, 2]) {
        const live = liveRig('s1-4k', schedule, 16);
        const [from, to] = [domainTo(live, BigInt(OLD)), domainTo(live, BigInt(NEW))];
        live.device.attach(from);
        const pages = live.machine.pages.livePages;
        live.machine.pages.failNth(nth);
        expect(seenDuring(live, () => live.device.replace(to))).toEqual([OLD, 'C_BAD_CD (bad-config)', NEW]);
        live.machine.pages.failNth(null);
        expect(live.machine.pages.livePages).toBe(pages);
        expect(seenDuring(live, () => live.device.replace(from))).toEqual([NEW, OLD]);
      }
    });

    test('PASIDs come and go without the device’s other requests noticing', () => {
      const live = liveRig('s1-4k', schedule, 4);
      const pasid = domainTo(live, BigInt(NEW));
      for (const domain of [domainTo(live, BigInt(OLD)), live.identity()]) {
        live.device.attach(domain);
        const [before] = seenDuring(live, () => {});
        expect(seenDuring(live, () => live.device.attach(pasid, 3))).toEqual([before]);
        expect(seenDuring(live, () => live.device.detach(3))).toEqual([before]);
        live.device.detach();
      }
    });

    test('a tag that is used again finds nothing of its former owner', () => {
      const live = liveRig('s1-4k', schedule);
      for (const pa of [OLD, NEW, OLD]) {
        const domain = domainTo(live, BigInt(pa));
        live.device.attach(domain);
        expect(reach(live)).toBe(pa);
        live.device.detach();
        expect(reach(live)).toBe('ABORT');
        domain.free();
      }
    });
  },
);
