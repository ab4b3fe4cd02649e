import { PERMISSION } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import type { VtdFeatures } from '../../src/config.ts';
import { type Rig, scalableRig } from './rig.ts';

const RW = PERMISSION.READ | PERMISSION.WRITE;
const PWSNP = 1n << 23n;

/** Both stages, flags updated by hardware, 46-bit host, supervisor requests, RID_PRIV. */
const FEATURES: VtdFeatures = {
  version: 0x70,
  cap: { ND: 6, SAGAW: 0xc, MGAW: 47, FRO: 0x22, SSLPS: 3, FS1GP: true, FS5LP: true, PSI: true, MAMV: 18 },
  ecap: {
    QI: true,
    PT: true,
    SC: true,
    IRO: 0xf,
    SMTS: true,
    PASID: true,
    PSS: 19,
    SMPWCS: true,
    FSTS: true,
    SSTS: true,
    NEST: true,
    SRS: true,
    RPRIVS: true,
    EAFS: true,
    SSADS: true,
  },
  hostAddressBits: 46,
};

function firstStage(low = 0n, tag = PWSNP) {
  const rig = scalableRig(FEATURES);
  const table = rig.page();
  rig.put(rig.entry(0), 0x41n, 7n | tag, table | low);
  rig.enable(rig.root, 1);
  return Object.assign(rig, {
    table,
    map4: (iova: bigint, leaf: bigint, bits = 0x7n, level = 1) => rig.map(table, 4, iova, leaf, bits, level),
  });
}

/** Clears nothing but what the walk remembers, so that each question is asked of the tables. */
const fresh = (rig: Rig, iova: bigint): number => {
  rig.hardware.dropCaches();
  return rig.code(iova);
};

describe('first stage', () => {
  test('every canonical address and no other', () => {
    const rig = firstStage();
    rig.map4(0x7fff_ffff_f000n, 0x1000_0007n);
    rig.map4(0xffff_8000_0000_0000n, 0x2000_0007n);
    expect(rig.read(0x7fff_ffff_f008n).pa).toBe(0x1000_0008n);
    expect(rig.read(0xffff_8000_0000_0010n).pa).toBe(0x2000_0010n);
    expect(rig.code(0x8000_0000_0000n)).toBe(0x80);
    expect(rig.code(0xfffe_8000_0000_0000n)).toBe(0x80);
  });

  test('five levels: 57 bits', () => {
    const rig = firstStage(4n);
    rig.map(rig.table, 5, 0xff_ffff_ffff_f000n, 0x1000_0007n, 7n);
    expect(rig.read(0xff_ffff_ffff_f000n).pa).toBe(0x1000_0000n);
    expect(rig.code(0x100_0000_0000_0000n)).toBe(0x80);
    expect(rig.code(0xff00_0000_0000_0000n)).toBe(0x71);
  });

  test('large pages keep PAT out of the address', () => {
    const rig = firstStage();
    rig.map4(0x20_0000n, 0x8000_1087n, 7n, 2);
    rig.map4(0x4000_0000n, 0x1_4000_1087n, 7n, 3);
    expect(rig.read(0x2f_f123n)).toEqual({ outcome: 'translated', pa: 0x800f_f123n, page: 21, rights: RW });
    expect(rig.read(0x7fff_fff0n)).toEqual({ outcome: 'translated', pa: 0x1_7fff_fff0n, page: 30, rights: RW });
  });

  test.each([
    ['bit 46 of 46', 1n << 46n, 1, 0x72],
    ['bit 51', 1n << 51n, 3, 0x72],
    ['bit 13 of a 2 MiB leaf', 0x80n | (1n << 13n), 2, 0x72],
    ['bit 13 of a 1 GiB leaf', 0x80n | (1n << 13n), 3, 0x72],
    ['PS in a PML4E', 0x80n, 4, 0x72],
    ['PAT in a PTE', 0x80n, 1, 0],
    ['62:52, the old XD bit, G, 9 and 11', (0xfffn << 52n) | 0xb00n, 1, 0],
    ['software bit in a table entry', 0x200n, 2, 0],
  ] as const)('reserved: %s', (_title, bits, level, code) => {
    const rig = firstStage();
    rig.map4(0n, 0x5000_0007n);
    let at = rig.table;
    for (let l = 4; l > level; l--) at = rig.get(at) & ~0xfffn;
    rig.put(at, rig.get(at) | bits);
    expect(rig.code(0n)).toBe(code);
  });

  test('user rights: US and RW at every level', () => {
    const rig = firstStage();
    rig.map4(0x1000n, 0x5000_0005n);
    rig.map4(0x2000n, 0x5000_0003n);
    rig.map4(0x80_0000_0000n, 0x5000_0007n, 5n);
    rig.map4(0x100_0000_0000n, 0x5000_0007n, 3n);
    expect(rig.read(0x1000n).rights).toBe(PERMISSION.READ);
    expect(rig.writes(0x1000n).code).toBe(0x85);
    expect(rig.code(0x2000n)).toBe(0x81);
    expect(rig.read(0x80_0000_0000n).rights).toBe(PERMISSION.READ);
    expect(rig.writes(0x80_0000_0000n).code).toBe(0x85);
    expect(rig.code(0x100_0000_0000n)).toBe(0x81);
  });

  test('supervisor rights: US does not count, RW only with WPE', () => {
    for (const [low, code] of [
      [1n, 0],
      [0x11n, 0x85],
    ] as const) {
      const rig = firstStage(low);
      rig.put(rig.context + 8n, 1n << 20n);
      rig.map4(0x1000n, 0x5000_0001n, 1n);
      expect(rig.code(0x1000n)).toBe(0);
      expect(rig.writes(0x1000n).code ?? 0).toBe(code);
    }
    const rig = firstStage();
    rig.put(rig.context + 8n, 1n << 20n);
    expect(rig.code(0x1000n)).toBe(0x5d);
  });

  test('A in every entry, D in the leaf of a write, EA with EAFE', () => {
    const rig = firstStage();
    const leaf = rig.map4(0n, 0x5000_0007n);
    rig.read(0n);
    expect(rig.get(leaf)).toBe(0x5000_0027n);
    expect(rig.get(rig.table) & 0x60n).toBe(0x20n);
    rig.writes(0n);
    expect(rig.get(leaf)).toBe(0x5000_0067n);
    const extended = firstStage(0x80n);
    const other = extended.map4(0n, 0x5000_0027n);
    extended.read(0n);
    expect(extended.get(other)).toBe(0x5000_0427n);
  });

  test('a fault never sets D', () => {
    const rig = firstStage();
    const leaf = rig.map4(0n, 0xfee0_0007n);
    expect(rig.writes(0n).code).toBe(0x87);
    const readOnly = rig.map4(0x1000n, 0x5000_0005n);
    expect(rig.writes(0x1000n).code).toBe(0x85);
    expect([rig.get(leaf), rig.get(readOnly)].map((entry) => entry & 0x40n)).toEqual([0n, 0n]);
  });

  test('an unsnooped walk may not update: SFS.9, unless the flags are set already', () => {
    const rig = firstStage(0n, 0n);
    rig.map4(0n, 0x5000_0027n, 0x27n);
    expect(rig.code(0n)).toBe(0);
    expect(rig.writes(0n).code).toBe(0x90);
    rig.map4(0x8000_0000n, 0x5000_0067n, 7n);
    expect(rig.code(0x8000_0000n)).toBe(0x90);
  });

  test('unreachable tables', () => {
    const rig = firstStage();
    rig.map4(0n, 0x5000_0007n);
    const lower = rig.get(rig.table) & ~0xfffn;
    rig.memory.poison(lower, lower + 7n);
    expect(rig.code(0n)).toBe(0x70);
    rig.memory.poison(rig.table, rig.table + 7n);
    expect(rig.code(0n)).toBe(0x73);
  });
});

describe('second stage with accessed and dirty flags', () => {
  function secondStage(tag: bigint, ssade = true) {
    const rig = scalableRig(FEATURES);
    const table = rig.page();
    rig.put(rig.entry(0), table | 0x89n | (ssade ? 0x200n : 0n), 7n | tag);
    const leaf = rig.map(table, 4, 0n, 0x5000_0003n, 3n);
    rig.enable(rig.root, 1);
    return Object.assign(rig, { table, leaf });
  }

  test('A everywhere, D by a write only; without SSADE the bits are ignored', () => {
    const rig = secondStage(PWSNP);
    rig.read(0n);
    expect([rig.get(rig.leaf), rig.get(rig.table) & 0x300n]).toEqual([0x5000_0103n, 0x100n]);
    rig.writes(0n);
    expect(rig.get(rig.leaf)).toBe(0x5000_0303n);
    const off = secondStage(PWSNP, false);
    off.writes(0n);
    expect(off.get(off.leaf)).toBe(0x5000_0003n);
  });

  test('the dirty state is cached: a cleared D stays clear until the translation is flushed', () => {
    const rig = secondStage(PWSNP);
    rig.writes(0n);
    rig.put(rig.leaf, 0x5000_0103n);
    rig.writes(0n);
    expect(rig.get(rig.leaf)).toBe(0x5000_0103n);
    rig.hardware.dropCaches();
    rig.writes(0n);
    expect(rig.get(rig.leaf)).toBe(0x5000_0303n);
  });

  test('unsnooped: SSS.5', () => {
    expect(secondStage(0n).code(0n)).toBe(0x7c);
  });

  test('structural faults and rights', () => {
    const rig = secondStage(PWSNP);
    expect(fresh(rig, 0x1000n)).toBe(0x79);
    expect(fresh(rig, 1n << 48n)).toBe(0x84);
    rig.put(rig.leaf, 0x5000_0003n | (1n << 50n));
    expect(fresh(rig, 0n)).toBe(0x7a);
    rig.put(rig.leaf, 0x5000_0001n);
    rig.hardware.dropCaches();
    expect(rig.writes(0n).code).toBe(0x85);
    rig.put(rig.leaf, 0x5000_0002n);
    expect(fresh(rig, 0n)).toBe(0x86);
    const lower = rig.get(rig.table) & ~0xfffn & ((1n << 46n) - 1n);
    rig.memory.poison(lower, lower + 7n);
    expect(fresh(rig, 0n)).toBe(0x78);
    rig.memory.poison(rig.table, rig.table + 7n);
    expect(fresh(rig, 0n)).toBe(0x7b);
  });
});

describe('nested', () => {
  const GUEST = 0x10_0000_0000n;

  /** First-stage tables at guest addresses GUEST + host; page 0 leads to guest page 0x7000, host 0x5000_0000. */
  function nested(ssade = false, rights = 3n) {
    const rig = scalableRig(FEATURES);
    const second = rig.page();
    const tables = [rig.page(), rig.page(), rig.page(), rig.page()];
    tables.forEach((table, i) => {
      rig.map(second, 4, GUEST + table, table | rights, 3n);
      if (i < 3) rig.put(table, (GUEST + tables[i + 1]!) | 7n);
    });
    const leaf = tables[3]!;
    rig.put(leaf, 0x7007n);
    const page = rig.map(second, 4, 0x7000n, 0x5000_0003n, 3n);
    rig.put(rig.entry(0), second | 0xc9n | (ssade ? 0x200n : 0n), 7n | PWSNP, GUEST + tables[0]!);
    rig.enable(rig.root, 1);
    return Object.assign(rig, { second, tables, leaf, page });
  }

  test('both stages are walked; the page is the smaller one, the rights are both', () => {
    const rig = nested();
    expect(rig.read(0x123n)).toEqual({ outcome: 'translated', pa: 0x5000_0123n, page: 12, rights: RW });
    rig.put(rig.leaf + 8n, 0x7005n);
    expect(rig.read(0x1000n).rights).toBe(PERMISSION.READ);
    expect(rig.get(rig.leaf)).toBe(0x7027n);
    rig.writes(0n);
    expect(rig.get(rig.leaf)).toBe(0x7067n);
  });

  test('a 2 MiB guest page over 4 KiB host pages is cached in small pieces', () => {
    const rig = nested();
    rig.put(rig.tables[2]! + 8n, 0x87n);
    expect(rig.read(0x20_7000n)).toEqual({ outcome: 'translated', pa: 0x5000_0000n, page: 12, rights: RW });
    expect(rig.code(0x20_8000n)).toBe(0x79);
  });

  test('the final page: write and read rights of the second stage', () => {
    const rig = nested();
    rig.put(rig.page, 0x5000_0001n);
    expect(rig.writes(0n).code).toBe(0x85);
    rig.put(rig.page, 0x5000_0002n);
    expect(fresh(rig, 0n)).toBe(0x86);
    rig.put(rig.page, 0n);
    expect(fresh(rig, 0n)).toBe(0x79);
    rig.put(rig.page, 0xfee0_0003n);
    expect(fresh(rig, 0n)).toBe(0x87);
  });

  test('first-stage tables that the second stage refuses', () => {
    const rig = nested();
    const leafOf = (table: bigint, bits: bigint) => rig.map(rig.second, 4, GUEST + table, table | bits, 3n);
    leafOf(rig.tables[0]!, 2n);
    expect(fresh(rig, 0n)).toBe(0x75);
    leafOf(rig.tables[0]!, 3n);
    leafOf(rig.tables[2]!, 2n);
    expect(fresh(rig, 0n)).toBe(0x76);
    leafOf(rig.tables[2]!, 1n);
    expect(fresh(rig, 0n)).toBe(0x77);
    leafOf(rig.tables[2]!, 0n);
    expect(fresh(rig, 0n)).toBe(0x79);
    leafOf(rig.tables[2]!, 3n);
    rig.put(rig.tables[1]!, (1n << 45n) | (1n << 48n) | 7n);
    expect(fresh(rig, 0n)).toBe(0x72);
  });

  test('read-only tables serve while their flags need no update', () => {
    const rig = nested(false, 1n);
    expect(rig.code(0n)).toBe(0x77);
    for (const table of rig.tables) rig.put(table, rig.get(table) | 0x20n);
    expect(fresh(rig, 0n)).toBe(0);
    expect(rig.writes(0n).code).toBe(0x77);
  });

  test('with SSADE a table read counts as a write', () => {
    const rig = nested(true);
    rig.read(0n);
    const entry = (table: bigint): bigint => {
      let at = rig.second;
      for (let level = 4; level > 1; level--)
        at = rig.get(at + (((GUEST + table) >> BigInt(3 + 9 * level)) & 511n) * 8n) & 0xf_ffff_ffff_f000n;
      return rig.get(at + (((GUEST + table) >> 12n) & 511n) * 8n);
    };
    expect(rig.tables.map((table) => entry(table) & 0x300n)).toEqual([0x300n, 0x300n, 0x300n, 0x300n]);
    expect(rig.get(rig.page) & 0x300n).toBe(0x100n);
    const readOnly = nested(true, 1n);
    expect(readOnly.code(0n)).toBe(0x75);
  });

  test('guest addresses beyond the second stage: at the root SPT.4, further down SFS.5', () => {
    const narrow = { ...FEATURES, cap: { ...FEATURES.cap, MGAW: 38 } };
    const rig = scalableRig(narrow);
    const second = rig.page();
    const root = rig.page();
    rig.put(rig.entry(0), second | 0xc9n, 7n | PWSNP, 1n << 40n);
    rig.enable(rig.root, 1);
    expect(rig.code(0n)).toBe(0x5b);
    rig.put(rig.entry(0), second | 0xc9n, 7n | PWSNP, root);
    rig.map(second, 4, root, root | 3n, 3n);
    rig.put(root, (1n << 40n) | 7n);
    expect(fresh(rig, 0n)).toBe(0x74);
  });
});
