import { describe, expect, test } from 'vitest';
import { VTD_CONFIGS, type VtdFeatures } from '../../src/config.ts';
import { legacyRig, Rig, scalableRig } from './rig.ts';

const WAIT = 0x7_0000_0025n;
const STATUS = 0x9000n;

const FEATURES: VtdFeatures = {
  version: 0x10,
  cap: { ND: 6, SAGAW: 4, MGAW: 47, FRO: 0x22, SSLPS: 3, PSI: true, MAMV: 18 },
  ecap: { QI: true, IRO: 0xf },
};

function legacyQueue(features: string | VtdFeatures = 'legacy-4level') {
  const rig = legacyRig(features);
  rig.enable(rig.root);
  rig.startQueue(false);
  return rig;
}

function scalableQueue(features: string | VtdFeatures = 'scalable-nested') {
  const rig = scalableRig(features);
  rig.enable(rig.root, 1);
  rig.startQueue(true);
  return rig;
}

const iqei = (rig: Rig): [error: bigint, iqe: bigint] => [rig.reg('IQERCD') & 0xfn, (rig.reg('FSTS') >> 4n) & 1n];

describe('waiting', () => {
  test('status write', () => {
    const rig = legacyQueue();
    rig.submit(WAIT, STATUS);
    expect(rig.get(STATUS)).toBe(7n);
    expect(rig.reg('IQH')).toBe(16n);
  });

  test('interrupt flag: IWC, one message, status written first', () => {
    const rig = legacyQueue();
    const seen: bigint[] = [];
    rig.memory.attachDevice(0x4100_0000n, 0x4100_0fffn, {
      write32: () => {
        seen.push(rig.get(STATUS));
      },
    } as never);
    rig.write('IEADDR', 0x4100_0000);
    rig.write('IECTL', 0);
    rig.submit(WAIT | 0x10n, STATUS);
    expect([seen, rig.reg('ICS')]).toEqual([[7n], 1n]);
    rig.submit(WAIT | 0x10n, STATUS);
    expect(seen).toEqual([7n]);
    rig.write('ICS', 1);
    rig.submit(WAIT | 0x10n, STATUS);
    expect(seen).toHaveLength(2);
  });

  test('a pure fence is legal; PD is reserved without page requests', () => {
    const rig = legacyQueue();
    rig.submit(0x45n);
    expect(iqei(rig)).toEqual([0n, 0n]);
    rig.submit(0xa5n, STATUS);
    expect(iqei(rig)).toEqual([4n, 1n]);
  });

  test('address bits above the host width are ignored', () => {
    const rig = legacyQueue({ ...FEATURES, hostAddressBits: 40 });
    rig.submit(WAIT, STATUS | (1n << 40n) | (1n << 63n));
    expect(rig.get(STATUS)).toBe(7n);
  });

  test('a status address where nothing answers is no error', () => {
    const rig = legacyQueue();
    rig.memory.poison(STATUS, STATUS + 3n);
    rig.submit(WAIT, STATUS);
    expect([rig.reg('IQH'), rig.reg('FSTS')]).toEqual([16n, 0n]);
  });
});

describe('errors stop the queue at the bad descriptor', () => {
  const legacy: readonly (readonly [string, bigint[], bigint])[] = [
    ['type 0', [0n], 3n],
    ['type 6 in legacy mode', [0x26n], 3n],
    ['type bits 11:9', [0x25n | (1n << 9n), 0n], 3n],
    ['device TLB without device TLBs', [3n], 3n],
    ['reserved bit of a wait', [WAIT | 0x100n, STATUS], 4n],
    ['reserved low bits of the status address', [WAIT, STATUS | 1n], 4n],
    ['context flush with granularity 0', [0x01n], 4n],
    ['context flush with a second quadword', [0x11n, 1n], 4n],
    ['IOTLB flush with granularity 0', [0x02n], 4n],
    ['IOTLB page mask past MAMV', [0x32n, 19n], 4n],
    ['IOTLB reserved bits 11:7 of the address', [0x32n, 0x80n], 4n],
  ];
  test.each(legacy)('legacy: %s', (_title, descriptor, error) => {
    const rig = legacyQueue();
    rig.submit(WAIT, STATUS);
    rig.submit(...descriptor);
    expect([iqei(rig), rig.reg('IQH')]).toEqual([[error, 1n], 16n]);
  });

  const scalable: readonly (readonly [string, bigint[], bigint])[] = [
    ['PASID IOTLB with granularity 1', [0x16n], 4n],
    ['PASID cache with granularity 2', [0x27n], 4n],
    ['a third quadword', [0x12n, 0n, 1n], 4n],
    ['a fourth quadword', [WAIT, STATUS, 0n, 1n], 4n],
    ['page response without page requests', [9n], 3n],
    ['host permissions without HPTS', [0x1an], 3n],
    ['PASID device TLB without device TLBs', [8n], 3n],
    ['type B', [0xbn], 3n],
  ];
  test.each(scalable)('scalable: %s', (_title, descriptor, error) => {
    const rig = scalableQueue();
    rig.submit(...descriptor);
    expect([iqei(rig), rig.reg('IQH')]).toEqual([[error, 1n], 0n]);
  });

  test('page-selective without PSI', () => {
    const rig = legacyQueue('legacy-no-psi');
    rig.submit(0x32n | (5n << 16n), 0n);
    expect(iqei(rig)).toEqual([4n, 1n]);
  });

  test('a mask past MAMV is legal in type 6', () => {
    const rig = scalableQueue();
    rig.submit(0x36n, 63n);
    expect(iqei(rig)).toEqual([0n, 0n]);
  });

  test('128-bit entries in scalable mode, 256-bit ones without scalable mode, the reserved table type', () => {
    const narrow = scalableRig('scalable-nested');
    narrow.enable(narrow.root, 1);
    narrow.startQueue(false);
    narrow.submit(WAIT, STATUS);
    expect(iqei(narrow)).toEqual([5n, 1n]);
    const wide = legacyRig();
    wide.enable(wide.root);
    wide.startQueue(true);
    wide.submit(WAIT, STATUS);
    expect(iqei(wide)).toEqual([5n, 1n]);
    const reserved = legacyRig();
    reserved.enable(reserved.root, 2);
    reserved.startQueue(false);
    reserved.submit(WAIT, STATUS);
    expect(iqei(reserved)).toEqual([7n, 1n]);
  });

  test('before scalable tables are in force a wide queue takes the first five types', () => {
    const rig = new Rig('scalable-nested');
    rig.startQueue(true);
    rig.submit(WAIT, STATUS);
    expect([iqei(rig), rig.get(STATUS)]).toEqual([[0n, 0n], 7n]);
    rig.submit(0x37n);
    expect(iqei(rig)).toEqual([3n, 1n]);
  });

  test('tail past the ring, tail between two wide entries, ring unreachable', () => {
    const past = legacyQueue();
    past.write('IQT', 0x1000);
    expect(iqei(past)).toEqual([1n, 1n]);
    const odd = scalableQueue();
    odd.write('IQT', 0x30);
    expect(iqei(odd)).toEqual([6n, 1n]);
    const gone = legacyQueue();
    const base = gone.reg('IQA') & ~0xfffn;
    gone.memory.poison(base, base + 15n);
    gone.write('IQT', 16);
    expect(iqei(gone)).toEqual([2n, 1n]);
  });

  test('the tail may move while stopped; clearing IQE starts again at the head', () => {
    const rig = legacyQueue();
    rig.submit(0n);
    rig.submit(WAIT, STATUS);
    expect([rig.reg('IQH'), rig.get(STATUS)]).toEqual([0n, 0n]);
    rig.repair(0x45n, 0n);
    expect(rig.get(STATUS)).toBe(0n);
    rig.write('FSTS', 0x10);
    expect([rig.reg('IQH'), rig.get(STATUS), rig.reg('IQERCD')]).toEqual([32n, 7n, 0n]);
  });

  test('IQE raises the fault event, unless a fault is pending already', () => {
    const rig = legacyQueue();
    const messages: number[] = [];
    rig.memory.attachDevice(0x4100_0000n, 0x4100_0fffn, {
      write32: (_: number, value: number) => void messages.push(value),
    } as never);
    rig.write('FEADDR', 0x4100_0000);
    rig.write('FEDATA', 9);
    rig.write('FECTL', 0);
    rig.submit(0n);
    expect(messages).toEqual([9]);
    rig.read(0n);
    expect(messages).toEqual([9]);
  });
});

describe('the ring', () => {
  test('wraps', () => {
    const rig = legacyQueue();
    for (let i = 0; i < 300; i++) rig.submit((BigInt(i) << 32n) | 0x25n, STATUS);
    expect([rig.get(STATUS), rig.reg('IQH')]).toEqual([299n, BigInt((300 * 16) % 4096)]);
  });

  test('of eight pages with wide entries', () => {
    const rig = scalableQueue();
    const base = 0x40_0000n;
    rig.write('GCMD', 0x8000_0000);
    rig.write('IQT', 0);
    rig.write('IQA', base | 0x803n);
    rig.write('GCMD', 0x8400_0000);
    rig.put(base + 0x7fe0n, WAIT, STATUS, 0n, 0n);
    for (let at = 0n; at < 0x7fe0n; at += 32n) rig.put(base + at, 0x45n, 0n, 0n, 0n);
    rig.write('IQT', 0x7fe0);
    expect(rig.reg('IQH')).toBe(0x7fe0n);
    rig.write('IQT', 0);
    expect([rig.get(STATUS), rig.reg('IQH')]).toEqual([7n, 0n]);
  });

  test('nothing is taken before the machine lets it, nor while the queue is off', () => {
    const rig = legacyQueue();
    rig.hold = true;
    rig.submit(WAIT, STATUS);
    expect(rig.get(STATUS)).toBe(0n);
    rig.run();
    expect(rig.get(STATUS)).toBe(7n);
    rig.hold = false;
    rig.write('GCMD', 0x8000_0000);
    rig.write('IQT', 64);
    expect(rig.reg('IQH')).toBe(0n);
  });

  test('runs with translation off', () => {
    const rig = new Rig('legacy-4level');
    rig.startQueue(false);
    rig.submit(WAIT, STATUS);
    expect(rig.get(STATUS)).toBe(7n);
  });
});

describe('register-based invalidation', () => {
  const IOTLB = 0xf8;
  const IVA = 0xf0;

  function rigWithPage(config = 'legacy-registers') {
    const rig = legacyRig(config);
    const leaf = rig.map(rig.table, 4, 0x4000_0000n, 0x5000_0003n, 3n);
    rig.enable(rig.root);
    rig.read(0x4000_0000n);
    rig.put(leaf, 0n);
    const iotlb = (value: bigint): bigint => {
      rig.hardware.mmio.write64(IOTLB, value);
      return rig.hardware.mmio.read64(IOTLB);
    };
    return Object.assign(rig, { iotlb, stale: () => rig.code(0x4000_0000n) === 0 });
  }

  test.each([
    ['global', 0x9000_0000_0000_0000n, 0n, 1n, false],
    ['domain', 0xa000_0005_0000_0000n, 0n, 2n, false],
    ['another domain', 0xa000_0006_0000_0000n, 0n, 2n, true],
    ['page', 0xb000_0005_0000_0000n, 0x4000_0000n, 3n, false],
    ['another page', 0xb000_0005_0000_0000n, 0x4000_1000n, 3n, true],
    ['page with a mask past MAMV', 0xb000_0005_0000_0000n, 0x4000_0013n, 0n, true],
    ['no granularity', 0x8000_0005_0000_0000n, 0n, 0n, true],
  ] as const)('IOTLB: %s', (_title, command, address, done, stale) => {
    const rig = rigWithPage();
    rig.hardware.mmio.write64(IVA, address);
    const answer = rig.iotlb(command);
    expect([answer >> 63n, (answer >> 57n) & 3n, rig.stale()]).toEqual([0n, done, stale]);
  });

  test('without PSI a page request flushes its domain and says so', () => {
    const rig = rigWithPage('legacy-no-psi');
    expect((rig.iotlb(0xb000_0005_0000_0000n) >> 57n) & 3n).toBe(2n);
    expect(rig.stale()).toBe(false);
  });

  test.each([
    ['global', 0xa000_0000_0000_0000n, 1n, 2],
    ['domain', 0xc000_0000_0000_0005n, 2n, 2],
    ['device', 0xe000_0000_0010_0005n, 3n, 2],
    ['device with function mask', 0xe000_0003_0017_0005n, 3n, 2],
    ['device of another domain', 0xe000_0000_0010_0006n, 3n, 6],
  ] as const)('CCMD: %s', (_title, command, done, code) => {
    const rig = rigWithPage();
    rig.put(rig.context, 0n);
    rig.write('CCMD', command);
    const answer = rig.reg('CCMD');
    expect([answer >> 63n, (answer >> 59n) & 3n, rig.code(0x4000_1000n)]).toEqual([0n, done, code]);
  });

  test('in scalable mode, and from version 6 on, nothing is done', () => {
    const config = VTD_CONFIGS.find(({ name }) => name === 'legacy-4level')!.hardware;
    const late = new Rig({ ...config, version: 0x60 });
    late.hardware.mmio.write64(IOTLB, 0x9000_0000_0000_0000n);
    late.write('CCMD', 0xa000_0000_0000_0000n);
    expect([late.hardware.mmio.read64(IOTLB) >> 57n, late.reg('CCMD') >> 59n]).toEqual([0b1000n, 0b0100n]);
  });
});
