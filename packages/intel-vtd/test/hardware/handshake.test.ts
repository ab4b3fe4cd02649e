import { describe, expect, test } from 'vitest';
import { legacyRig, QIE, Rig, SRTP, scalableRig, TE } from './rig.ts';

const PAGE_0 = 0x5000_0003n;
const WBF = 0x0800_0000;

describe('GCMD and GSTS', () => {
  test('off at reset: everything passes; registers read as advertised', () => {
    const rig = legacyRig();
    expect(rig.read(0xffff_ffff_ffff_f123n)).toEqual({ outcome: 'bypass', pa: 0xffff_ffff_ffff_f123n });
    expect(rig.reg('GSTS')).toBe(0n);
    expect(rig.reg('FECTL')).toBe(0x8000_0000n);
    expect(rig.reg('VER')).toBe(0x10n);
    expect(rig.reg('GCMD')).toBe(0n);
  });

  test('RTADDR is inert until SRTP', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0n, PAGE_0, 3n);
    rig.write('RTADDR', rig.root);
    rig.write('GCMD', TE);
    expect(rig.code(0n)).toBe(0x01);
    rig.write('GCMD', TE + SRTP);
    expect(rig.code(0n)).toBe(0);
    rig.write('RTADDR', 0n);
    rig.hardware.dropCaches();
    expect(rig.code(0n)).toBe(0);
  });

  test('a command is pending until the machine lets it run; the root is taken when it is written', () => {
    const rig = legacyRig();
    rig.map(rig.table, 4, 0n, PAGE_0, 3n);
    rig.enable(rig.root);
    rig.hold = true;
    rig.write('GCMD', TE + SRTP);
    expect(rig.reg('GSTS')).toBe(BigInt(TE));
    rig.run();
    expect(rig.reg('GSTS')).toBe(BigInt(TE + SRTP));
    rig.write('GCMD', 0);
    expect(rig.reg('GSTS')).toBe(BigInt(TE + SRTP));
    rig.run();
    expect(rig.reg('GSTS')).toBe(BigInt(SRTP));
  });

  test('WBFS is set while a flush runs, and only where RWBF is offered', () => {
    const rig = legacyRig('legacy-3level', 1n);
    rig.hold = true;
    rig.write('GCMD', WBF);
    expect(rig.reg('GSTS')).toBe(BigInt(WBF));
    rig.run();
    expect(rig.reg('GSTS')).toBe(0n);
    const other = legacyRig();
    other.hold = true;
    other.write('GCMD', WBF);
    expect(other.reg('GSTS')).toBe(0n);
  });

  test('turning translation off drops the caches of a unit with scalable mode, in whichever mode it is', () => {
    for (const [config, code] of [
      ['legacy-4level', 0],
      ['scalable-ss', 6],
    ] as const) {
      const legacy = legacyRig(config);
      const leaf = legacy.map(legacy.table, 4, 0n, PAGE_0, 3n);
      legacy.enable(legacy.root);
      legacy.read(0n);
      legacy.put(leaf, 0n);
      legacy.write('GCMD', 0);
      legacy.write('GCMD', TE);
      expect(legacy.code(0n)).toBe(code);
    }
    const rig = scalableRig('scalable-ss');
    const table = rig.page();
    rig.put(rig.entry(0), table | 0x89n, 7n);
    const other = rig.map(table, 4, 0n, PAGE_0, 3n);
    rig.enable(rig.root, 1);
    rig.read(0n);
    rig.put(other, 0n);
    expect(rig.code(0n)).toBe(0);
    rig.write('GCMD', 0);
    rig.write('GCMD', TE);
    expect(rig.code(0n)).toBe(0x79);
  });

  test('SRTP invalidates only with ESRTPS', () => {
    for (const [config, code] of [
      ['scalable-nested', 0],
      ['scalable-5level', 0x79],
    ] as const) {
      const rig = scalableRig(config);
      const table = rig.page();
      rig.put(rig.entry(0), table | 0x89n, 7n);
      const leaf = rig.map(table, 4, 0n, PAGE_0, 3n);
      rig.enable(rig.root, 1);
      rig.read(0n);
      rig.put(leaf, 0n);
      rig.write('GCMD', TE + SRTP);
      expect(rig.code(0n), config).toBe(code);
    }
  });

  test('registers without their feature read 0 and take nothing', () => {
    const rig = legacyRig('legacy-registers');
    rig.write('IQA', 0x1234_5000n);
    rig.write('IRTA', 0x1234_5000n);
    rig.write('FEUADDR', 0xff);
    rig.write('GCMD', QIE);
    expect([rig.reg('IQA'), rig.reg('IRTA'), rig.reg('FEUADDR'), rig.reg('GSTS')]).toEqual([0n, 0n, 0n, 0n]);
  });

  test('reset with work outstanding leaves nothing behind', () => {
    const rig = legacyRig();
    rig.startQueue(false);
    rig.hold = true;
    rig.submit(0x2_0000_0025n, 0x9000n);
    rig.write('GCMD', TE + SRTP);
    rig.hardware.reset();
    rig.run();
    expect(rig.get(0x9000n)).toBe(0n);
    expect(rig.reg('GSTS')).toBe(0n);
    expect(rig.read(0x1234n).outcome).toBe('bypass');
  });
});

describe('protected memory', () => {
  test('EPM blocks DMA to the region, silently; PRS follows', () => {
    const rig = new Rig('legacy-4level');
    rig.write('PLMBASE', 0x4000_0000);
    rig.write('PLMLIMIT', 0x401f_ffff);
    rig.write('PHMBASE', 0x1_0000_0000n);
    rig.write('PHMLIMIT', 0x1_0020_0000n);
    expect(rig.read(0x4000_0000n).outcome).toBe('bypass');
    rig.write('PMEN', 0x8000_0000);
    expect(rig.reg('PMEN')).toBe(0x8000_0001n);
    for (const iova of [0x4000_0000n, 0x401f_ffffn, 0x1_003f_ffffn])
      expect(rig.ask(iova)).toEqual({ outcome: 'fault', code: -1, record: null });
    for (const iova of [0x3fff_ffffn, 0x4020_0000n, 0x1_0040_0000n]) expect(rig.read(iova).outcome).toBe('bypass');
    rig.write('PMEN', 0);
    expect(rig.reg('PMEN')).toBe(0n);
    expect(rig.read(0x4000_0000n).outcome).toBe('bypass');
  });
});
