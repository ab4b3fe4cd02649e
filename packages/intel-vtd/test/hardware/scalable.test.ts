import { ACCESS, REQUEST_KIND } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { VTD_CONFIGS } from '../../src/config.ts';
import { scalableRig } from './rig.ts';

type ScalableRig = ReturnType<typeof scalableRig>;

const FS_TABLE = 0x27n;
const FS_LEAF = 0x67n;

/** PASID 0 on a first stage in domain 7 with page 0 at 0x5000_0000; PWSNP set. */
function firstStage(config?: Parameters<typeof scalableRig>[0], entry = 0x49n & ~8n) {
  const rig = scalableRig(config);
  const table = rig.page();
  rig.put(rig.entry(0), entry, 7n | (1n << 23n), table);
  rig.map(table, 4, 0n, 0x5000_0000n | FS_LEAF, FS_TABLE);
  return Object.assign(rig, { first: table });
}

describe('root, context and PASID structures', () => {
  const cases: readonly (readonly [string, number, (rig: ScalableRig) => void])[] = [
    ['all well', 0, () => {}],
    ['lower half not present', 0x39, (r) => r.put(r.root, 0n)],
    ['lower half reserved', 0x3a, (r) => r.put(r.root, r.get(r.root) | 4n)],
    ['other half reserved but absent', 0, (r) => r.put(r.root + 8n, 4n)],
    ['other half reserved and present', 0x3a, (r) => r.put(r.root + 8n, 5n)],
    ['root unreachable', 0x38, (r) => r.memory.poison(r.root, r.root + 15n)],
    ['context unreachable', 0x40, (r) => r.memory.poison(r.context + 24n, r.context + 31n)],
    ['context not present', 0x41, (r) => r.put(r.context, 0n)],
    ['context reserved bits 8:7', 0x42, (r) => r.put(r.context, r.get(r.context) | 0x80n)],
    ['DTE without device TLBs', 0x42, (r) => r.put(r.context, r.get(r.context) | 4n)],
    ['RID_PASID without RPS', 0x42, (r) => r.put(r.context + 8n, 1n)],
    ['RID_PRIV without RPRIVS', 0x42, (r) => r.put(r.context + 8n, 1n << 20n)],
    ['context last quadword', 0x42, (r) => r.put(r.context + 24n, 1n)],
    ['directory unreachable', 0x50, (r) => r.memory.poison(r.directory, r.directory + 7n)],
    ['directory entry not present', 0x51, (r) => r.put(r.directory, 0n)],
    ['directory entry reserved', 0x52, (r) => r.put(r.directory, r.get(r.directory) | 4n)],
    ['PASID entry unreachable', 0x58, (r) => r.memory.poison(r.pasids + 56n, r.pasids + 63n)],
    ['PASID entry not present', 0x59, (r) => r.put(r.pasids, 0n)],
    ['PASID entry reserved bit 5', 0x5a, (r) => r.put(r.pasids, 0x61n)],
    ['PASID entry last quadword', 0x5a, (r) => r.put(r.pasids + 56n, 1n << 63n)],
    ['PASID entry bit 129', 0x5a, (r) => r.put(r.pasids + 16n, r.get(r.pasids + 16n) | 2n)],
    ['PASID entry bits 134:133 are ignored', 0, (r) => r.put(r.pasids + 16n, r.get(r.pasids + 16n) | 0x60n)],
    ['memory types without MTS', 0x5a, (r) => r.put(r.pasids + 8n, r.get(r.pasids + 8n) | (1n << 32n))],
    [
      'second-stage fields in a first-stage entry are ignored',
      0,
      (r) => r.put(r.pasids, 0xffff_ffff_ffff_f25dn & ~(1n << 5n)),
    ],
    ['PGTT 0', 0x5b, (r) => r.put(r.pasids, 1n)],
    ['PGTT 5', 0x5b, (r) => r.put(r.pasids, 0x141n)],
    ['FSPM 1 without five levels', 0x5b, (r) => r.put(r.pasids + 16n, r.get(r.pasids + 16n) | 4n)],
    ['FSPM 3', 0x5b, (r) => r.put(r.pasids + 16n, r.get(r.pasids + 16n) | 0xcn)],
  ];
  test.each(cases)('%s', (_title, code, change) => {
    const rig = firstStage();
    change(rig);
    rig.enable(rig.root, 1);
    expect(rig.code(0n)).toBe(code);
  });

  test('devices 10h and up of function 80h and more use the upper half', () => {
    const rig = firstStage();
    rig.put(rig.root + 8n, (rig.get(rig.root) & ~0xfffn) | 1n);
    rig.enable(rig.root, 1);
    expect(rig.read(0n, { device: 0x90 }).pa).toBe(0x5000_0000n);
    expect(rig.code(0n, { device: 0x11 })).toBe(0x41);
  });

  test('a second-stage entry’s pointer, AW and SSADE are checked, and reserved where there is no second stage', () => {
    const rig = scalableRig('scalable-ss');
    rig.enable(rig.root, 1);
    const set = (quad: bigint): number => {
      rig.put(rig.entry(0), quad, 7n);
      rig.hardware.dropCaches();
      return rig.code(0n);
    };
    expect(set(0x5000_0089n)).toBe(0x79);
    expect(set(0x5000_0085n)).toBe(0x5b);
    expect(set(0x5000_0081n)).toBe(0x5b);
    const first = scalableRig('scalable-fs');
    first.put(first.entry(0), 0x5000_0089n, 7n);
    first.enable(first.root, 1);
    expect(first.code(0n)).toBe(0x5a);
  });
});

describe('requests with PASID', () => {
  function withPasid(config?: Parameters<typeof scalableRig>[0]) {
    const rig = firstStage(config);
    rig.put(rig.entry(5), 0x41n, 8n | (1n << 23n), rig.first | 1n);
    rig.put(rig.entry(6), 0x41n, 8n | (1n << 23n), rig.first);
    rig.enable(rig.root, 1);
    return rig;
  }

  test('its own entry is used, and only from a device that may send one', () => {
    const rig = withPasid();
    expect(rig.read(0n, { pasid: 5 }).pa).toBe(0x5000_0000n);
    rig.put(rig.context, rig.get(rig.context) & ~8n);
    rig.hardware.dropCaches();
    expect(rig.code(0n, { pasid: 5 })).toBe(0x45);
    expect(rig.code(0n)).toBe(0);
  });

  test('the RID_PASID itself, past the directory, past PSS', () => {
    const rig = withPasid();
    expect(rig.code(0n, { pasid: 0 })).toBe(0x48);
    expect(rig.code(0n, { pasid: 1 << 13 })).toBe(0x46);
    expect(rig.code(0n, { pasid: (1 << 13) - 1 })).toBe(0x51);
    expect(rig.code(0n, { pasid: 1 << 20 })).toBe(0x89);
    expect(rig.code(0n, { pasid: 9 })).toBe(0x59);
  });

  test('privileged requests need SRE, execute requests are refused', () => {
    const rig = withPasid();
    expect(rig.code(0n, { pasid: 6, privileged: true })).toBe(0x5d);
    expect(rig.code(0n, { pasid: 5, privileged: true })).toBe(0);
    expect(rig.code(0n, { pasid: 5, access: ACCESS.EXECUTE })).toBe(0x5c);
    const config = VTD_CONFIGS.find(({ name }) => name === 'scalable-nested')!.hardware;
    const later = scalableRig({ ...config, version: 0x80 } as never);
    later.enable(later.root, 1);
    expect(later.code(0n, { pasid: 5, access: ACCESS.EXECUTE })).toBe(0x34);
  });

  test('the interrupt range is ordinary input for them', () => {
    const rig = withPasid();
    rig.map(rig.first, 4, 0xfee0_0000n, 0x6000_0000n | FS_LEAF, FS_TABLE);
    expect(rig.read(0xfee0_0000n, { pasid: 5 }).pa).toBe(0x6000_0000n);
    rig.put(rig.entry(7), 0x101n, 9n);
    expect(rig.code(0xfee0_0000n, { pasid: 7 })).toBe(0x87);
    expect(rig.ask(0x1234n, { pasid: 7 })).toEqual({ outcome: 'bypass', pa: 0x1234n });
  });

  test('the record names the PASID, the privilege and the fetch; RID_PASID is not a request’s PASID', () => {
    const rig = withPasid();
    const named = rig.ask(0x1234_5678n, { pasid: 9, privileged: true });
    expect(named.record).toBe('c0000959a00000100000000012345000');
    expect(rig.writes(0x1234_5678n, { pasid: 9 }).record).toBe('80000959800000100000000012345000');
    expect(rig.ask(0x7000n).record).toBe('c0000071000000100000000000007000');
  });

  test('ATS without DTE is SCT.5', () => {
    const rig = withPasid();
    expect(rig.code(0n, { kind: REQUEST_KIND.TRANSLATION })).toBe(0x44);
  });
});
