import { ACCESS, PERMISSION, REQUEST_KIND } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { vtdHardware } from '../../src/config.ts';
import { legacyRig, Rig } from './rig.ts';

const RW = PERMISSION.READ | PERMISSION.WRITE;

describe('second stage in legacy mode', () => {
  test.each([
    ['legacy-3level', 3, 1n, 0x7f_ffff_f000n],
    ['legacy-4level', 4, 2n, 0xffff_ffff_f000n],
    ['legacy-5level', 5, 3n, 0x1ff_ffff_ffff_f000n],
  ] as const)('%s: the last page of the aperture maps, one past it is LGN.1', (config, levels, aw, last) => {
    const rig = legacyRig(config, aw);
    rig.map(rig.table, levels, last, 0x7777_7003n, 3n);
    rig.enable(rig.root);
    expect(rig.read(last + 0xabcn)).toEqual({ outcome: 'translated', pa: 0x7777_7abcn, page: 12, rights: RW });
    expect(rig.code(last + 0x1000n)).toBe(0x04);
    expect(rig.code(0xffff_ffff_ffff_f000n)).toBe(0x04);
  });

  test('2 MiB and 1 GiB leaves', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0x4020_0000n, 0x8000_0083n, 3n, 2);
    rig.map(rig.table, 4, 0x8000_0000n, 0x1_c000_0081n, 3n, 3);
    rig.enable(rig.root);
    expect(rig.read(0x403f_fff8n)).toEqual({ outcome: 'translated', pa: 0x801f_fff8n, page: 21, rights: RW });
    expect(rig.read(0xbfff_fff0n)).toEqual({ outcome: 'translated', pa: 0x1_ffff_fff0n, page: 30, rights: 1 });
    expect(rig.writes(0xbfff_fff0n).code).toBe(0x05);
  });

  test('rights are the AND over the levels; nothing mapped is 5 or 6 by access', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0x1000n, 0x5000_0003n, 1n);
    rig.map(rig.table, 4, 0x80_0000_0000n, 0x6000_0002n, 3n);
    rig.enable(rig.root);
    expect(rig.read(0x1000n).rights).toBe(1);
    expect(rig.writes(0x1000n).code).toBe(0x05);
    expect(rig.code(0x80_0000_0000n)).toBe(0x06);
    expect(rig.writes(0x80_0000_0000n).rights).toBe(2);
    expect(rig.code(0x2000n)).toBe(0x06);
    expect(rig.writes(0x2000n).code).toBe(0x05);
  });

  test.each([
    ['bit 62', 1n << 62n, 1, 0x0c],
    ['bits above the host width', 1n << 51n, 1, 0x0c],
    ['SNP in a non-leaf', 1n << 11n, 2, 0x0c],
    ['PS in a PML4E', 1n << 7n, 4, 0x0c],
    ['address bits below a 2 MiB leaf', (1n << 7n) | (1n << 12n), 2, 0x0c],
    ['address bits below a 1 GiB leaf', (1n << 7n) | (1n << 29n), 3, 0x0c],
    ['software bits are nobody’s business', (1n << 10n) | (1n << 63n) | (0x1ffn << 52n) | (1n << 61n), 1, 0],
    ['the old execute bit, memory type and A/D too', 0x37cn & ~0x80n, 1, 0],
  ] as const)('reserved bits of an entry: %s', (_title, bits, level, code) => {
    const rig = legacyRig({ version: 0x10, hostAddressBits: 46, ...FEATURES });
    const leaf = rig.map(rig.table, 4, 0n, level === 1 ? 0x5000_0003n | bits : 0x5000_0003n, 3n);
    expect(leaf).toBeGreaterThan(0n);
    let at = rig.table;
    for (let l = 4; l > level; l--) at = rig.get(at) & ~0xfffn;
    if (level > 1) rig.put(at, rig.get(at) | bits);
    rig.enable(rig.root);
    expect(rig.code(0n)).toBe(code);
  });

  test('an entry with R=W=0 is not present whatever else it holds', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0n, 0xffff_ffff_ffff_fffcn, 3n);
    rig.enable(rig.root);
    expect(rig.code(0n)).toBe(0x06);
  });

  test('SNP in a leaf and large pages are reserved where the unit has neither', () => {
    const bare = { ...FEATURES, cap: { ...FEATURES.cap, SSLPS: 0 }, ecap: { ...FEATURES.ecap, SC: false } };
    const rig = legacyRig({ version: 0x10, ...bare });
    rig.map(rig.table, 4, 0n, 0x5000_0803n, 3n);
    rig.map(rig.table, 4, 0x20_0000n, 0x5000_0083n, 3n, 2);
    rig.enable(rig.root);
    expect(rig.code(0n)).toBe(0x0c);
    expect(rig.code(0x20_0000n)).toBe(0x0c);
  });
});

const FEATURES = {
  cap: { ND: 6, SAGAW: 4, MGAW: 47, FRO: 0x22, SSLPS: 3, PSI: true, MAMV: 18 },
  ecap: { C: true, QI: true, PT: true, SC: true, IRO: 0xf },
} as const;

describe('root and context entries', () => {
  const fault = (change: (rig: ReturnType<typeof legacyRig>) => void, features = {}): number => {
    const rig = legacyRig({ version: 0x10, hostAddressBits: 46, ...FEATURES, ...features });
    rig.map(rig.table, 4, 0n, 0x5000_0003n, 3n);
    change(rig);
    rig.enable(rig.root);
    return rig.code(0n);
  };

  test.each([
    ['root not present', 0x01, (r) => r.put(r.root, 0n)],
    ['root with garbage but P=0', 0x01, (r) => r.put(r.root, ~1n & 0xffff_ffff_ffff_ffffn)],
    ['root reserved low bits', 0x0a, (r) => r.put(r.root, r.get(r.root) | 2n)],
    ['root reserved high quadword', 0x0a, (r) => r.put(r.root + 8n, 1n)],
    ['root pointer above the host width', 0x0a, (r) => r.put(r.root, r.get(r.root) | (1n << 46n))],
    ['root unreachable', 0x08, (r) => r.memory.poison(r.root, r.root + 15n)],
    ['context not present', 0x02, (r) => r.put(r.context, 0n)],
    ['context unreachable', 0x09, (r) => r.memory.poison(r.context, r.context + 15n)],
    ['context reserved bits 11:4', 0x0b, (r) => r.put(r.context, r.get(r.context) | 0x10n)],
    ['context reserved bit 71', 0x0b, (r) => r.put(r.context + 8n, 0x582n)],
    ['context reserved bits 127:88', 0x0b, (r) => r.put(r.context + 8n, 0x502n | (1n << 24n))],
    ['context software bits 70:67', 0, (r) => r.put(r.context + 8n, 0x502n | 0x78n)],
    ['AW not in SAGAW', 0x03, (r) => r.put(r.context + 8n, 0x501n)],
    ['AW not defined', 0x03, (r) => r.put(r.context + 8n, 0x504n)],
    ['TT 3', 0x03, (r) => r.put(r.context, r.get(r.context) | 0xcn)],
    ['TT 1 without device TLBs', 0x03, (r) => r.put(r.context, r.get(r.context) | 4n)],
    ['first table unreachable', 0x03, (r) => r.memory.poison(r.table, r.table + 7n)],
    [
      'later table unreachable',
      0x07,
      (r) => r.memory.poison(r.get(r.table) & ~0xfffn, (r.get(r.table) & ~0xfffn) + 7n),
    ],
  ] as readonly (readonly [string, number, (rig: ReturnType<typeof legacyRig>) => void])[])(
    '%s',
    (_t, code, change) => {
      expect(fault(change)).toBe(code);
    },
  );

  test('DID bits above CAP.ND are reserved', () => {
    const narrow = { cap: { ...FEATURES.cap, ND: 2 } };
    expect(fault((r) => r.put(r.context + 8n, (0xffn << 8n) | 2n), narrow)).toBe(0);
    expect(fault((r) => r.put(r.context + 8n, (0x100n << 8n) | 2n), narrow)).toBe(0x0b);
  });

  test('pass-through: full rights below the host width, the table pointer unread', () => {
    const rig = legacyRig({ version: 0x10, hostAddressBits: 40, ...FEATURES });
    rig.put(rig.context, 0xffff_ffff_ffff_f009n);
    rig.enable(rig.root);
    expect(rig.writes(0x12_3456_7890n)).toEqual({ outcome: 'bypass', pa: 0x12_3456_7890n });
    expect(rig.writes(0x12_3456_7890n)).toEqual({ outcome: 'bypass', pa: 0x12_3456_7890n });
    expect(rig.code(1n << 40n)).toBe(0x04);
  });

  test('pass-through without ECAP.PT is not supported', () => {
    expect(fault((r) => r.put(r.context, 9n), { ecap: { ...FEATURES.ecap, PT: false } })).toBe(0x03);
  });
});

describe('requests that are not plain DMA', () => {
  test('the interrupt range: a write is a message, anything else 29h; an output there is LGN.4', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0xfee0_0000n, 0x5000_0003n, 3n);
    rig.map(rig.table, 4, 0x1000n, 0xfee0_1003n, 3n);
    rig.map(rig.table, 4, 0x20_0000n, 0xfee0_0083n, 3n, 2);
    rig.enable(rig.root);
    expect(rig.writes(0xfee0_0000n)).toEqual({ outcome: 'bypass', pa: 0xfee0_0000n });
    expect(rig.code(0xfee0_0000n)).toBe(0x29);
    expect(rig.code(0x1000n)).toBe(0x0e);
    expect(rig.code(0x20_0000n)).toBe(0x0e);
    expect(rig.read(0x30_0000n).pa).toBe(0xfef0_0000n);
    expect(rig.code(0x20_0000n)).toBe(0x0e);
  });

  test('a PASID is RTA.2; ATS ends in LCT.5', () => {
    const rig = legacyRig();
    rig.enable(rig.root);
    expect(rig.code(0n, { pasid: 1 })).toBe(0x31);
    expect(rig.code(0n, { kind: REQUEST_KIND.TRANSLATION })).toBe(0x0d);
    expect(rig.code(0n, { kind: REQUEST_KIND.TRANSLATED })).toBe(0x0d);
  });

  test('an instruction fetch without PASID is a read', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0n, 0x5000_0001n, 3n);
    rig.enable(rig.root);
    expect(rig.ask(0n, { access: ACCESS.EXECUTE }).rights).toBe(PERMISSION.READ | PERMISSION.EXECUTE);
  });

  test('an id wider than a source-id is refused without a record', () => {
    const rig = legacyRig();
    rig.enable(rig.root);
    expect(rig.ask(0n, { device: 0x1_0010 })).toEqual({ outcome: 'fault', code: -1, record: null });
  });
});

describe('a root table that is not there or not understood', () => {
  test.each([
    ['scalable on a legacy unit', 1, 0x30],
    ['the reserved table type', 2, 0x30],
    ['abort without ADMS', 3, 0x30],
  ] as const)('%s', (_title, ttm, code) => {
    const rig = legacyRig();
    rig.enable(rig.root, ttm);
    expect(rig.code(0n)).toBe(code);
  });

  test('abort-dma reads no table', () => {
    const rig = new Rig(
      vtdHardware({ version: 0x70, ...FEATURES, ecap: { ...FEATURES.ecap, SMTS: true, ADMS: true } }),
    );
    rig.memory.poison(0n, 0xffff_ffffn);
    rig.enable(0x1000n, 3);
    expect(rig.code(0x1234n)).toBe(0x33);
  });
});
