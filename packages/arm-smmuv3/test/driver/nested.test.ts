import { hexToBytes } from '@iommukit/bits';
import { IommuError, type NativeData, type NativeInvalidation, type ViommuOps } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import type { Viommu } from '../../src/driver/viommu.ts';
import { smmuGuestKit } from '../../src/guest/guest-kit.ts';
import { errnoOf, rigOf, SYNC } from './rig.ts';
import { CAPTURE_A, NESTING } from './scripted-smmu.ts';

/** Words 0 and 1 of a guest's STE, in hex as the manual writes them. */
const ste = (word0: bigint, word1 = 0n): NativeData => {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, word0, true);
  new DataView(bytes.buffer).setBigUint64(8, word1, true);
  return { type: 2, bytes };
};

const commands = (...raw: string[]): NativeInvalidation => ({
  type: 1,
  entryLength: raw[0] === undefined ? 16 : raw[0].length / 2,
  entryCount: raw.length,
  bytes: hexToBytes(raw.join('')),
});

function rig(script = NESTING) {
  const made = rigOf(script);
  const handle = made.device([8]);
  const parent = made.driver.allocPaging(handle, 1, null);
  const viommu = made.driver.allocViommu!(handle, parent, 1, null);
  const words = (): string[] => made.smmu.words(made.smmu.steAddress(8));
  return { ...made, handle, parent, viommu, words };
}

describe('nested domains', () => {
  test('a guest stage 1 over its parent: Config 111, the guest words, MEV, S2FWB, the parent VMID', () => {
    const { driver, handle, viommu, words } = rig();
    viommu.setVirtualId(handle, 0x77n);
    viommu.allocNested(handle, 0, ste(0x8000_0000_4000_0f4bn, 0xd6n)).attach(handle, driver.blocked);
    const [word0, word1, word2] = words();
    expect(word0).toBe('8000000040000f4f');
    expect(word1).toBe('20800d6');
    expect(word2).toBe('44c359400000001');
  });

  test('bypass is the plain stage 2 of the parent, abort and invalid are the abort STE', () => {
    const { driver, handle, viommu, words } = rig();
    viommu.allocNested(handle, 0, ste(9n)).attach(handle, driver.blocked);
    expect(words().slice(0, 3)).toEqual(['d', '2000000', '44c359400000001']);
    viommu.allocNested(handle, 0, ste(1n)).attach(handle, driver.blocked);
    expect(words()).toEqual(['1', '0', '0', '0', '0', '0', '0', '0']);
    viommu.allocNested(handle, 0, ste(0xffff_ffff_ffff_fffen, 0xffff_ffff_ffff_ffffn)).attach(handle, driver.blocked);
    expect(words()[0]).toBe('1');
  });

  test('vEATS is accepted and not passed on', () => {
    const { driver, handle, viommu, words } = rig();
    viommu.setVirtualId(handle, 0n);
    viommu.allocNested(handle, 0, ste(0x4000_000bn, 0x1000_00d6n)).attach(handle, driver.blocked);
    expect(words()[1]).toBe('20800d6');
  });

  test('between a guest stage 1 and its bypass no request is refused, and TLB entries of others stay', () => {
    const { driver, handle, viommu, commandsOf } = rig();
    viommu.setVirtualId(handle, 1n);
    const bypass = viommu.allocNested(handle, 0, ste(9n));
    const stage1 = viommu.allocNested(handle, 0, ste(0x4000_000bn, 0xd6n));
    bypass.attach(handle, driver.blocked);
    const cfgi = ['03000000080000000100000000000000', SYNC];
    expect(commandsOf(() => stage1.attach(handle, bypass))).toEqual([...cfgi, ...cfgi]);
    expect(commandsOf(() => viommu.allocNested(handle, 0, ste(0x5000_000bn, 0xd6n)).attach(handle, stage1))).toEqual(
      cfgi,
    );
  });

  test('errors', () => {
    const { driver, device, handle, parent, viommu } = rig();
    for (const { title, value, errno } of smmuGuestKit.badNestedData())
      expect(
        errnoOf(() => viommu.allocNested(handle, 0, value)),
        title,
      ).toBe(errno);
    expect(errnoOf(() => viommu.allocNested(handle, 1, ste(9n)))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => viommu.allocNested(handle, 0, ste(0x4000_000bn)).attach(handle, driver.blocked))).toBe(
      'ENOENT',
    );
    expect(errnoOf(() => driver.allocViommu!(handle, parent, 2, null))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => driver.allocViommu!(handle, driver.allocPaging(handle, 0, null), 1, null))).toBe('EINVAL');
    expect(errnoOf(() => viommu.setVirtualId(device([9, 10]), 3n))).toBe('EOPNOTSUPP');
    viommu.setVirtualId(handle, 3n);
    expect(errnoOf(() => viommu.setVirtualId(handle, 4n))).toBe('EEXIST');
    expect(errnoOf(() => viommu.setVirtualId(device([11]), 3n))).toBe('EEXIST');
    viommu.clearVirtualId(handle);
    expect(errnoOf(() => viommu.setVirtualId(handle, 4n))).toBe('none');
  });

  test('without S2FWB only devices that are coherent anyway', () => {
    const { driver, device } = rigOf({ ...NESTING, idr3: 0x10 });
    const parent = driver.allocPaging(device([8]), 1, null);
    expect(errnoOf(() => driver.allocViommu!(device([9]), parent, 1, null))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => driver.allocViommu!(device([10], { coherent: true }), parent, 1, null))).toBe('none');
  });

  test('no nesting on one stage', () => {
    const { driver, device } = rigOf(CAPTURE_A);
    const handle = device([8], { coherent: true });
    expect(errnoOf(() => driver.allocViommu!(handle, driver.allocPaging(handle, 0, null), 1, null))).toBe('EOPNOTSUPP');
  });
});

describe('guest commands', () => {
  const NH_ALL = '10000000000000000000000000000000';

  function withGuest(): {
    viommu: ViommuOps;
    issued(request: NativeInvalidation): string[];
    smmu: ReturnType<typeof rig>['smmu'];
  } {
    const made = rig();
    made.viommu.setVirtualId(made.handle, 0x42n);
    const issued = (request: NativeInvalidation): string[] =>
      made.commandsOf(() => expect(made.viommu.invalidate(request)).toEqual({ done: request.entryCount, error: null }));
    return { viommu: made.viommu, issued, smmu: made.smmu };
  }

  test('are rewritten to the VMID of the parent and the StreamID of the device, all else as it stands', () => {
    const { issued } = withGuest();
    const request = commands(
      '30000000000000000000000000000000',
      '10000000ffff00000000000000000000',
      '11000000ffff34120000000000000000',
      '12f0f1010000341201070000f0debc0a',
      '13000000ffff00000110000000000000',
      '05500000420000000100000000000000',
      '06000000420000000000000000000000',
    );
    expect(issued(request)).toEqual([
      '10000000010000000000000000000000',
      '10000000010000000000000000000000',
      '11000000010034120000000000000000',
      '12f0f1010100341201070000f0debc0a',
      '13000000010000000110000000000000',
      '05500000080000000100000000000000',
      '06000000080000000000000000000000',
      SYNC,
    ]);
  });

  test('63 and a SYNC fill a batch', () => {
    const { issued } = withGuest();
    const issuedAll = issued(commands(...Array.from({ length: 130 }, () => NH_ALL)));
    expect(issuedAll.map((raw, i) => (raw === SYNC ? i : -1)).filter((i) => i >= 0)).toEqual([63, 127, 132]);
  });

  test('what stands before a bad command is issued and counted, nothing behind it', () => {
    const { viommu, smmu } = withGuest();
    for (const { title, value, errno } of smmuGuestKit.badInvalidations(0x42n)) {
      const good = new Uint8Array(value.entryLength);
      good.set(hexToBytes(NH_ALL));
      const bytes = new Uint8Array([...good, ...good, ...value.bytes, ...good]);
      smmu.takeCommands();
      const { done, error } = viommu.invalidate({ ...value, entryCount: 4, bytes });
      expect((error as { errno?: string } | null)?.errno, title).toBe(errno);
      expect(done, title).toBe(errno === 'EINVAL' ? 0 : 2);
      const mine = '10000000010000000000000000000000';
      expect(smmu.takeCommands(), title).toEqual(done === 0 ? [] : [mine, mine, SYNC]);
    }
  });

  test('short entries are filled up, an empty batch asks for the type', () => {
    const { viommu, issued } = withGuest();
    expect(issued(commands('1100000000003412'))).toEqual(['11000000010034120000000000000000', SYNC]);
    expect(issued(commands())).toEqual([]);
    expect(viommu.invalidate({ ...commands(), type: 0 }).error).toMatchObject({ errno: 'EINVAL' });
  });

  test('a command the hardware calls illegal is counted out: EIO at its place, and the queue goes on', () => {
    const { viommu, smmu, issued } = withGuest();
    const bad = '12000000000000000004000000000000';
    smmu.onCommand = (raw) => raw.startsWith('12') && raw.endsWith('0004000000000000');
    const { done, error } = viommu.invalidate(commands(NH_ALL, bad, NH_ALL));
    expect([done, (error as { errno?: string }).errno]).toEqual([1, 'EIO']);
    expect(smmu.takeCommands().filter((raw) => raw === SYNC)).toHaveLength(2);
    expect(issued(commands(NH_ALL))).toHaveLength(2);
  });

  test('ATC_INV has nothing to do without ATS', () => {
    const { issued } = withGuest();
    expect(issued(commands('40000000420000003400000000000000'))).toEqual([]);
  });
});

describe('events of a guest’s devices', () => {
  const fault = (code: string, flags = '08020000', sid = '08000000'): string =>
    `${code}000000${sid}00000000${flags}`.padEnd(64, '0');

  function listening() {
    const made = rig();
    const viommu = made.viommu as Viommu;
    const host: string[] = [];
    const guest: string[] = [];
    made.driver.onFault(({ name }) => host.push(name));
    viommu.onEvent((type, payload) => guest.push(`${type}:${Buffer.from(payload).toString('hex')}`));
    made.viommu.setVirtualId(made.handle, 0x1234n);
    const attach = (): void =>
      made.viommu.allocNested(made.handle, 0, ste(0x4000_000bn)).attach(made.handle, made.driver.blocked);
    return { ...made, viommu, host, guest, attach };
  }

  test('its own faults go to the guest under its own StreamID, stage 2 and unknown ones stay with the host', () => {
    const { smmu, host, guest, attach } = listening();
    attach();
    for (const code of ['04', '06', '08', '0a', '10', '11', '12', '13']) smmu.raiseEvents(fault(code));
    expect(guest).toEqual(
      ['04', '06', '08', '0a', '10', '11', '12', '13'].map((code) => `1:${fault(code, '08020000', '34120000')}`),
    );
    expect(host).toEqual([]);
    smmu.raiseEvents(fault('10', '88020000'), fault('0b'), fault('03'));
    expect(host).toEqual(['F_TRANSLATION', 'F_WALK_EABT', 'F_STE_FETCH']);
  });

  test('without a nested domain, a listener or a queue for the type the host hears them', () => {
    const { smmu, driver, handle, viommu, parent, host, guest, attach } = listening();
    smmu.raiseEvents(fault('10'));
    attach();
    viommu.onEvent(() => {
      throw new IommuError('EOPNOTSUPP', 'no such queue');
    });
    smmu.raiseEvents(fault('11'));
    viommu.onEvent(null);
    smmu.raiseEvents(fault('12'));
    parent.attach(handle, driver.blocked);
    viommu.clearVirtualId(handle);
    smmu.raiseEvents(fault('13'));
    expect([host, guest]).toEqual([['F_TRANSLATION', 'F_ADDR_SIZE', 'F_ACCESS', 'F_PERMISSION'], []]);
  });
});
