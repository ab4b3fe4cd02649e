import { wordsToBytes } from '@iommukit/bits';
import type { FaultRecord } from '@iommukit/core';
import { isIommuError } from '@iommukit/core';
import { emptyGather } from '@iommukit/page-table/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CommandProducer } from '../../src/driver/command-producer.ts';
import { createSmmuDriver } from '../../src/driver/driver.ts';
import { faultOf } from '../../src/driver/event-consumer.ts';
import { mapOne, rigOf, SYNC } from './rig.ts';
import { CAPTURE_A, ScriptedSmmu, UNIT } from './scripted-smmu.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);

/** A producer on its own, with CMDQEN set. */
function producer(lg2 = 7): { smmu: ScriptedSmmu; queue: CommandProducer } {
  const smmu = new ScriptedSmmu();
  const queue = new CommandProducer(smmu, lg2);
  queue.program();
  smmu.mmio.write32(0x20, 8);
  return { smmu, queue };
}

const numbered = (n: number): string =>
  `10000000${(n & 255).toString(16).padStart(2, '0')}${(n >> 8).toString(16).padStart(2, '0')}0000`.padEnd(32, '0');

describe('command queue', () => {
  test('keeps order over many wraps, publishing 64 at a time', () => {
    const { smmu, queue } = producer();
    for (let n = 0; n < 1000; n++) queue.push(0x10, n, 0, 0);
    queue.sync();
    expect(smmu.takeCommands()).toEqual([...Array.from({ length: 1000 }, (_, n) => numbered(n)), SYNC]);
  });

  test('a full ring waits for room', () => {
    const { smmu, queue } = producer();
    smmu.mmio.write32(0x20, 0);
    for (let n = 0; n < 128; n++) queue.push(0x10, n, 0, 0);
    let turns = 0;
    smmu.time.relax = () => {
      if (++turns === 5) {
        smmu.mmio.write32(0x20, 8);
        smmu.mmio.write32(0x98, smmu.register(0x98));
      }
    };
    queue.push(0x10, 128, 0, 0);
    queue.sync();
    expect(smmu.takeCommands()).toEqual([...Array.from({ length: 129 }, (_, n) => numbered(n)), SYNC]);
  });

  test('a queue that never moves is a timeout', () => {
    const { smmu, queue } = producer();
    smmu.mmio.write32(0x20, 0);
    try {
      queue.sync();
      expect.unreachable();
    } catch (error) {
      expect(isIommuError(error) && error.errno).toBe('ETIMEDOUT');
    }
  });

  test('CERROR_ILL: the slot becomes a SYNC and the rest goes on', () => {
    const { smmu, queue } = producer();
    smmu.onCommand = (raw) => raw.startsWith('ff');
    queue.watch();
    queue.push(0x10, 1, 0, 0);
    queue.push(0xff, 2, 0, 0);
    queue.push(0x10, 3, 0, 0);
    queue.sync();
    expect(smmu.takeCommands()).toEqual([numbered(1), SYNC, numbered(3), SYNC]);
    expect(queue.illegal).toBe(1);
    queue.watch();
    expect(queue.illegal).toBe(-1);
  });

  test('CERROR_ABT is tried again; for ever is a timeout', () => {
    const { smmu, queue } = producer();
    const abort = (): void => {
      smmu.set(0x9c, (smmu.register(0x9c) & 0xfffff) | (2 << 24));
      smmu.set(0x60, smmu.register(0x60) ^ 1);
    };
    abort();
    queue.push(0x10, 1, 0, 0);
    queue.sync();
    expect(smmu.takeCommands()).toEqual([numbered(1), SYNC]);
    smmu.time.relax = () => {
      if (((smmu.register(0x60) ^ smmu.register(0x64)) & 1) === 0) abort();
    };
    smmu.onCommand = () => true;
    smmu.mmio.write32(0x20, 0);
    expect(() => queue.sync()).toThrow(/ETIMEDOUT/);
  });

  test('GERROR: every active error is acknowledged by its interrupt', () => {
    const { smmu } = rigOf(CAPTURE_A);
    smmu.set(0x60, 0x1fc);
    smmu.interrupt('gerror');
    expect(smmu.register(0x64)).toBe(0x1fc);
  });
});

/** A translation fault of stream 8 as the second word of the manual's table 7.3.12 says: read, stage 1, IN. */
const F_TRANSLATION = `10000000${'08000000'}${'00000000'}${'08020000'}${'00f0cdab00000000'}${'0000000000000000'}`;

describe('event queue', () => {
  function listening(): { smmu: ScriptedSmmu; faults: FaultRecord[] } {
    const smmu = new ScriptedSmmu();
    const driver = createSmmuDriver(smmu, UNIT);
    const faults: FaultRecord[] = [];
    driver.onFault((fault) => faults.push(fault));
    driver.probe();
    return { smmu, faults };
  }

  test('a record becomes a fault', () => {
    const { smmu, faults } = listening();
    smmu.raiseEvents(F_TRANSLATION);
    const { raw, ...fault } = faults[0]!;
    expect(fault).toEqual({
      reason: 'not-present',
      name: 'F_TRANSLATION',
      code: 0x10,
      device: 8,
      pasid: null,
      iova: 0xabcd_f000n,
      access: 'read',
    });
    expect(Buffer.from(raw).toString('hex')).toBe(F_TRANSLATION);
    expect(smmu.register(0x100ac)).toBe(1);
  });

  test.each([
    // SSV, SSID 5, write, permission
    [
      `13580000${'09000000'}${'00000000'}${'00020000'}${'00100000'.padEnd(32, '0')}`,
      'permission',
      'F_PERMISSION',
      5,
      0x1000n,
      'write',
    ],
    // InD and RnW: a fetch
    [
      `13000000${'09000000'}${'00000000'}${'0c020000'}${'00100000'.padEnd(32, '0')}`,
      'permission',
      'F_PERMISSION',
      null,
      0x1000n,
      'execute',
    ],
    [`04000000${'09000000'}`.padEnd(64, '0'), 'bad-config', 'C_BAD_STE', null, null, null],
    [`08700000${'09000000'}`.padEnd(64, '0'), 'bad-pasid', 'C_BAD_SUBSTREAMID', 7, null, null],
    [`02080000${'09000000'}`.padEnd(64, '0'), 'bad-device', 'C_BAD_STREAMID', 0, null, null],
    [`e1ffffff${'09000000'}`.padEnd(64, 'f'), 'unknown', 'UNKNOWN', null, null, null],
  ])('%s', (raw, reason, name, pasid, iova, access) => {
    const { smmu, faults } = listening();
    smmu.raiseEvents(raw);
    expect(faults[0]).toMatchObject({ reason, name, pasid, iova, access, device: 9 });
  });

  test('wraps, in order, with one interrupt for many', () => {
    const { smmu, faults } = listening();
    for (let n = 0; n < 3000; n++) {
      const sid = `${(n & 255).toString(16).padStart(2, '0')}${(n >> 8).toString(16).padStart(2, '0')}0000`;
      smmu.raiseEvents(F_TRANSLATION.slice(0, 8) + sid + F_TRANSLATION.slice(16));
    }
    expect(faults.map((fault) => fault.device)).toEqual(Array.from({ length: 3000 }, (_, n) => n));
  });

  test('an overflow is acknowledged, and only once', () => {
    const { smmu, faults } = listening();
    smmu.set(0x100a8, 0x8000_0000);
    smmu.raiseEvents(F_TRANSLATION);
    expect(faults).toHaveLength(1);
    expect(smmu.register(0x100ac)).toBe(0x8000_0001);
    smmu.raiseEvents(F_TRANSLATION);
    expect(smmu.register(0x100ac)).toBe(0x8000_0002);
  });

  test('a storm of records ends: the queue is switched off, emptied and left on and empty', () => {
    const { smmu, faults } = listening();
    smmu.onRead = () => {
      if ((smmu.register(0x24) & 4) !== 0) smmu.putEvents(F_TRANSLATION, F_TRANSLATION);
    };
    smmu.raiseEvents(F_TRANSLATION);
    expect(faults.length).toBeGreaterThan(2048);
    expect(faults.length).toBeLessThan(4096);
    expect([smmu.register(0x20), smmu.writes.at(-1)]).toEqual([0x0d, '20=d']);
    expect(smmu.register(0x100ac)).toBe(smmu.register(0x100a8));
    smmu.onRead = () => {};
    faults.length = 0;
    smmu.raiseEvents(F_TRANSLATION);
    expect(faults).toHaveLength(1);
  });

  test('where faults stall, the transaction is let go: RESUME with Ab', () => {
    const { smmu } = listening();
    smmu.takeCommands();
    smmu.raiseEvents(`10000000${'08000000'}${'34120080'}${'08020000'}`.padEnd(64, '0'));
    expect(smmu.takeCommands()).toEqual(['44200000080000003412000000000000']);
  });

  test('any bytes are a fault in the common form', () => {
    const word = fc.integer({ min: 0, max: 0xffff_ffff });
    const record = fc.tuple(fc.oneof(fc.nat(0x25), word), fc.array(word, { minLength: 7, maxLength: 7 }));
    fc.assert(
      fc.property(record, ([first, rest]) => {
        const words = new Uint32Array([first, ...rest]);
        const fault = faultOf(words, wordsToBytes(words));
        expect([fault.code, fault.device]).toEqual([first & 0xff, rest[0]]);
        if (fault.pasid !== null) expect(fault.pasid).toBe((first >>> 12) & 0xfffff);
        if (fault.iova !== null) expect(fault.iova >> 12n).toBe(((BigInt(rest[4]!) << 32n) | BigInt(rest[3]!)) >> 12n);
        if (fault.access !== null) expect(fault.access === 'write').toBe((rest[2]! & 8) === 0);
      }),
      { numRuns: RUNS },
    );
  });

  test('any producer index is met, also one that no ring can have, in less than two rings', () => {
    const { smmu, faults } = listening();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (prod) => {
        faults.length = 0;
        smmu.set(0x100a8, prod);
        smmu.interrupt('eventq');
        expect(smmu.register(0x100ac) & 0x7ff).toBe(prod & 0x7ff);
        expect(faults.length).toBeLessThan(2048);
      }),
      { numRuns: Math.ceil(RUNS / 50) },
    );
  });
});

test('a domain of a dead queue: unmapping times out and nothing hangs', () => {
  const { smmu, driver, device } = rigOf(CAPTURE_A);
  const handle = device([8]);
  const domain = driver.allocPaging(handle, 0, null);
  domain.attach(handle, driver.blocked);
  mapOne(domain, 0n, 0n);
  smmu.set(0x20, 0);
  const gather = emptyGather();
  domain.unmapPages(0n, 0x1000n, gather);
  expect(() => domain.syncUnmap(gather)).toThrow(/ETIMEDOUT/);
});

describe('when faults are heard', () => {
  test('after the operation in which they came, in order, even if a listener throws', () => {
    const { smmu, driver, device } = rigOf(CAPTURE_A);
    const handle = device([8]);
    const domain = driver.allocPaging(handle, 0, null);
    const heard: string[] = [];
    let syncs = 0;
    driver.onFault(({ device: sid }) => {
      heard.push(`${sid} after ${syncs}`);
      if (sid === 8) throw new Error('a bad listener');
    });
    smmu.onSync = () => {
      if (++syncs > 1) return;
      smmu.raiseEvents(F_TRANSLATION, F_TRANSLATION.replace('08000000', '09000000'));
    };
    expect(() => domain.attach(handle, driver.blocked)).toThrow('a bad listener');
    expect(heard).toEqual(['8 after 2', '9 after 2']);
  });

  test('a listener may use the driver', () => {
    const { smmu, driver, device } = rigOf(CAPTURE_A);
    const handle = device([8]);
    const domain = driver.allocPaging(handle, 0, null);
    driver.onFault(() => driver.blocked.attach(handle, domain));
    domain.attach(handle, driver.blocked);
    smmu.raiseEvents(F_TRANSLATION);
    expect(smmu.words(smmu.steAddress(8), 1)).toEqual(['1']);
  });
});
