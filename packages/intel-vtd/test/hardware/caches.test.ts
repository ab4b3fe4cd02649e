import { describe, expect, test } from 'vitest';
import type { VtdFeatures } from '../../src/config.ts';
import { legacyRig, scalableRig } from './rig.ts';

/** Register values and descriptors below are worked from the bit positions of VT-d 6.5.2. */
const PWSNP = 1n << 23n;
const FEATURES: VtdFeatures = {
  version: 0x70,
  cap: { ND: 6, SAGAW: 4, MGAW: 47, FRO: 0x22, SSLPS: 3, FS1GP: true, PSI: true, MAMV: 18 },
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
  },
};

/** PASIDs and their domains: a second stage, a first stage, a nested and a pass-through entry. */
const SS = { pasid: 1, did: 11n };
const FS = { pasid: 2, did: 12n };
const NESTED = { pasid: 3, did: 13n };
const PT = { pasid: 4, did: 14n };
/** A second first stage in the same domain under another PASID. */
const FS2 = { pasid: 5, did: 12n };

const PAGE = 0x4000_0000n;
const NEXT_PAGE = PAGE + 0x1000n;
/** Same 2 MiB as the two pages, touched for the first time after the change. */
const UNTOUCHED = PAGE + 0x2000n;

/**
 * Everything is asked once, so that all caches are warm; then every table and entry is overwritten. What still answers
 * as before comes out of a cache.
 */
function warm() {
  const rig = scalableRig(FEATURES);
  const second = rig.page();
  const first = rig.page();
  for (const page of [PAGE, NEXT_PAGE, UNTOUCHED]) {
    rig.map(second, 4, page, page | 3n, 3n);
    rig.map(first, 4, page, page | 0x67n, 0x27n);
  }
  const tables = [first, ...below(rig, first)];
  for (const table of tables) rig.map(second, 4, table, table | 3n, 3n);
  rig.put(rig.entry(SS.pasid), second | 0x89n, SS.did);
  rig.put(rig.entry(FS.pasid), 0x41n, FS.did | PWSNP, first);
  rig.put(rig.entry(FS2.pasid), 0x41n, FS2.did | PWSNP, first);
  rig.put(rig.entry(NESTED.pasid), second | 0xc9n, NESTED.did | PWSNP, first);
  rig.put(rig.entry(PT.pasid), 0x101n, PT.did);
  rig.enable(rig.root, 1);
  rig.startQueue(true);
  const serves = (iova: bigint, pasid: number): boolean => rig.read(iova, { pasid }).outcome !== 'fault';
  for (const { pasid } of [SS, FS, FS2, NESTED, PT])
    for (const page of [PAGE, NEXT_PAGE]) expect(serves(page, pasid), `${pasid}`).toBe(true);
  return Object.assign(rig, { second, first, serves });
}

function below(rig: ReturnType<typeof scalableRig>, root: bigint): bigint[] {
  const l3 = rig.get(root) & ~0xfffn;
  const l2 = rig.get(l3 + 8n) & ~0xfffn;
  return [l3, l2, rig.get(l2) & ~0xfffn];
}

type Warm = ReturnType<typeof warm>;

/** Which of the five still answer for a page: S second stage, F and f first stages, N nested, P pass-through. */
const answering = (rig: Warm, page: bigint): string =>
  [SS, FS, FS2, NESTED, PT].map(({ pasid }, i) => (rig.serves(page, pasid) ? 'SFfNP'[i] : '-')).join('');

const ENTRY_SLOTS = [SS, FS, FS2, NESTED, PT];

describe('what each descriptor drops from the IOTLB (the PASID entries are gone by then)', () => {
  const cases: readonly (readonly [string, bigint[], string, string])[] = [
    ['nothing', [0x0000_0045n], 'SFfNP', 'SFfNP'],
    ['IOTLB global', [0x12n], '-----', '-----'],
    ['IOTLB domain of the second stage', [0x22n | (SS.did << 16n)], '-FfNP', '-FfNP'],
    ['IOTLB domain of both first stages', [0x22n | (FS.did << 16n)], 'S--NP', 'S--NP'],
    ['IOTLB page of the second stage', [0x32n | (SS.did << 16n), PAGE], '-FfNP', 'SFfNP'],
    ['IOTLB page, two of them', [0x32n | (SS.did << 16n), PAGE | 1n], '-FfNP', '-FfNP'],
    ['IOTLB page, address not aligned to its mask', [0x32n | (SS.did << 16n), NEXT_PAGE | 1n], '-FfNP', '-FfNP'],
    ['IOTLB page elsewhere', [0x32n | (SS.did << 16n), 0x9000n], 'SFfNP', 'SFfNP'],
    ['IOTLB page drops all first-stage entries of its domain', [0x32n | (FS.did << 16n), 0x9000n], 'S--NP', 'S--NP'],
    ['IOTLB page drops all nested entries of its domain', [0x32n | (NESTED.did << 16n), 0x9000n], 'SFf-P', 'SFf-P'],
    ['IOTLB page of a pass-through domain', [0x32n | (PT.did << 16n), PAGE], 'SFfN-', 'SFfNP'],
    ['PASID IOTLB, whole PASID of a first stage', [0x26n | (FS.did << 16n) | (2n << 32n)], 'S-fNP', 'S-fNP'],
    ['PASID IOTLB, whole PASID of a second stage', [0x26n | (SS.did << 16n) | (1n << 32n)], '-FfNP', '-FfNP'],
    ['PASID IOTLB, whole PASID of pass-through', [0x26n | (PT.did << 16n) | (4n << 32n)], 'SFfN-', 'SFfN-'],
    ['PASID IOTLB with another DID', [0x26n | (SS.did << 16n) | (2n << 32n)], 'SFfNP', 'SFfNP'],
    ['PASID IOTLB page of a first stage', [0x36n | (FS.did << 16n) | (2n << 32n), PAGE], 'S-fNP', 'SFfNP'],
    ['PASID IOTLB page of a nested entry', [0x36n | (NESTED.did << 16n) | (3n << 32n), NEXT_PAGE], 'SFfNP', 'SFf-P'],
    ['PASID IOTLB page keeps second-stage entries', [0x36n | (SS.did << 16n) | (1n << 32n), PAGE], 'SFfNP', 'SFfNP'],
    ['PASID IOTLB page, everything by mask', [0x36n | (FS.did << 16n) | (2n << 32n), 63n], 'S-fNP', 'S-fNP'],
    ['context cache', [0x11n], 'SFfNP', 'SFfNP'],
    ['PASID cache', [0x37n], 'SFfNP', 'SFfNP'],
  ];
  test.each(cases)('%s', (_title, descriptor, page, nextPage) => {
    const rig = warm();
    for (const { pasid } of ENTRY_SLOTS) rig.put(rig.entry(pasid), 0n);
    /* Without the PASID cache a miss cannot be answered again. */
    rig.submit(0x37n);
    rig.submit(...descriptor);
    expect(rig.reg('FSTS') & 0x10n).toBe(0n);
    expect([answering(rig, PAGE), answering(rig, NEXT_PAGE)]).toEqual([page, nextPage]);
  });
});

describe('what each descriptor drops from the PASID cache (the tables stay)', () => {
  const cases: readonly (readonly [string, bigint[], string])[] = [
    ['nothing', [], 'SFfN-'],
    ['global', [0x37n], '-----'],
    ['domain', [0x07n | (FS.did << 16n)], 'S--N-'],
    ['PASID in domain', [0x17n | (FS.did << 16n) | (2n << 32n)], 'S-fN-'],
    ['PASID in another domain', [0x17n | (SS.did << 16n) | (2n << 32n)], 'SFfN-'],
    ['IOTLB global', [0x12n], 'SFfN-'],
    ['context cache of the device', [0x31n | (0x10n << 32n)], 'SFfN-'],
  ];
  test.each(cases)('%s', (_title, descriptor, expected) => {
    const rig = warm();
    for (const { pasid } of ENTRY_SLOTS) rig.put(rig.entry(pasid), 0n);
    if (descriptor.length > 0) rig.submit(...descriptor);
    /* A page never asked for misses the IOTLB and needs the PASID entry; pass-through answers any, so it is left out. */
    const got = [SS, FS, FS2, NESTED].map(({ pasid }, i) => (rig.serves(UNTOUCHED, pasid) ? 'SFfN'[i] : '-')).join('');
    expect(`${got}-`).toBe(expected);
  });
});

describe('what each descriptor drops from the paging-structure caches', () => {
  /** The upper tables are cut off at the root: only a cached non-leaf entry leads to the untouched page. */
  function cut(descriptor: bigint[]): string {
    const rig = warm();
    rig.put(rig.second, 0n);
    rig.put(rig.first, 0n);
    rig.submit(...descriptor);
    return [SS, FS, FS2, NESTED].map(({ pasid }, i) => (rig.serves(UNTOUCHED, pasid) ? 'SFfN'[i] : '-')).join('');
  }

  const cases: readonly (readonly [string, bigint[], string])[] = [
    ['IOTLB page with IH keeps the second stage’s', [0x32n | (SS.did << 16n), PAGE | 0x40n], 'SFfN'],
    ['IOTLB page without IH drops the second stage’s', [0x32n | (SS.did << 16n), PAGE], '-FfN'],
    ['IOTLB page with IH drops all first-stage ones', [0x32n | (FS.did << 16n), 0x9040n], 'S--N'],
    ['IOTLB page in another region without IH', [0x32n | (SS.did << 16n), 0x1_0000_0000_0000n - 0x1000n], 'SFfN'],
    ['IOTLB domain', [0x22n | (FS.did << 16n)], 'S--N'],
    ['IOTLB global', [0x12n], '----'],
    ['PASID IOTLB, whole PASID', [0x26n | (FS.did << 16n) | (2n << 32n)], 'S-fN'],
    ['PASID IOTLB page with IH', [0x36n | (FS.did << 16n) | (2n << 32n), PAGE | 0x40n], 'SFfN'],
    ['PASID IOTLB page without IH', [0x36n | (FS.did << 16n) | (2n << 32n), PAGE], 'S-fN'],
    ['PASID IOTLB never drops the second stage’s', [0x26n | (SS.did << 16n) | (1n << 32n)], 'SFfN'],
  ];
  test.each(cases)('%s', (_title, descriptor, expected) => {
    expect(cut(descriptor)).toBe(expected);
  });
});

describe('the context cache', () => {
  test('scalable: by source-id, whatever the domain; domain-selective drops all', () => {
    for (const [descriptor, stale] of [
      [0x31n | (0x10n << 32n), false],
      [0x31n | (0x10n << 32n) | (99n << 16n), false],
      [0x31n | (0x11n << 32n), true],
      [0x31n | (0x17n << 32n) | (3n << 48n), false],
      [0x21n | (99n << 16n), false],
      [0x11n, false],
    ] as const) {
      const rig = warm();
      rig.put(rig.context, 0n);
      rig.submit(descriptor);
      expect(rig.serves(UNTOUCHED, SS.pasid), descriptor.toString(16)).toBe(stale);
    }
  });

  test('legacy: device-selective takes the domain into account; the IOTLB hits on regardless', () => {
    for (const [descriptor, stale] of [
      [0x31n | (0x10n << 32n) | (5n << 16n), false],
      [0x31n | (0x10n << 32n) | (6n << 16n), true],
      [0x21n | (5n << 16n), false],
      [0x21n | (6n << 16n), true],
    ] as const) {
      const rig = legacyRig();
      rig.map(rig.table, 4, PAGE, 0x5000_0003n, 3n);
      rig.map(rig.table, 4, UNTOUCHED, 0x5000_2003n, 3n);
      rig.enable(rig.root);
      rig.startQueue(false);
      rig.read(PAGE);
      rig.put(rig.context, 0n);
      rig.submit(descriptor);
      expect(rig.code(PAGE)).toBe(0);
      expect(rig.code(UNTOUCHED)).toBe(stale ? 0 : 2);
    }
  });

  test('devices do not share: a flush of one domain leaves another’s', () => {
    const rig = legacyRig();
    rig.put(rig.context + 16n, rig.table | 1n, (6n << 8n) | 2n);
    const leaf = rig.map(rig.table, 4, PAGE, 0x5000_0003n, 3n);
    rig.enable(rig.root);
    rig.startQueue(false);
    rig.read(PAGE);
    rig.read(PAGE, { device: 0x11 });
    rig.put(leaf, 0n);
    rig.submit(0x32n | (6n << 16n), PAGE);
    expect([rig.code(PAGE), rig.code(PAGE, { device: 0x11 })]).toEqual([0, 6]);
  });
});

test('DID bits that CAP.ND does not have are ignored in descriptors', () => {
  const rig = legacyRig({ version: 0x10, cap: { ...FEATURES.cap, ND: 2, FS1GP: false }, ecap: { QI: true, IRO: 0xf } });
  const leaf = rig.map(rig.table, 4, PAGE, 0x5000_0003n, 3n);
  rig.enable(rig.root);
  rig.startQueue(false);
  rig.read(PAGE);
  rig.put(leaf, 0n);
  rig.submit(0x22n | (0xff05n << 16n));
  expect(rig.code(PAGE)).toBe(6);
});

describe('large pages', () => {
  test('any page-selective flush that touches a 2 MiB page drops it', () => {
    const rig = legacyRig();
    const leaf = rig.map(rig.table, 4, 0x4020_0000n, 0x8000_0083n, 3n, 2);
    rig.enable(rig.root);
    rig.startQueue(false);
    rig.read(0x4020_0000n);
    rig.put(leaf, 0n);
    rig.submit(0x32n | (5n << 16n), 0x401f_f000n);
    expect(rig.code(0x4030_0000n)).toBe(0);
    rig.submit(0x32n | (5n << 16n), 0x403f_f000n);
    expect(rig.code(0x4030_0000n)).toBe(6);
  });
});

describe('caching mode', () => {
  const absent = (config: string) => {
    const rig = legacyRig(config);
    rig.enable(rig.root);
    rig.startQueue(false);
    expect(rig.code(PAGE)).toBe(6);
    return rig;
  };

  test('a page that was not there stays away until its domain is flushed; without CM it appears at once', () => {
    const plain = absent('legacy-4level');
    plain.map(plain.table, 4, PAGE, 0x5000_0003n, 3n);
    expect(plain.code(PAGE)).toBe(0);
    const rig = absent('legacy-cm');
    rig.map(rig.table, 4, PAGE, 0x5000_0003n, 3n);
    expect([rig.code(PAGE), rig.writes(PAGE).code]).toEqual([6, 5]);
    rig.submit(0x32n | (5n << 16n), NEXT_PAGE);
    expect(rig.code(PAGE)).toBe(6);
    rig.submit(0x32n | (5n << 16n), PAGE);
    expect(rig.code(PAGE)).toBe(0);
  });

  test('an absent context entry is remembered under domain 0', () => {
    const rig = legacyRig('legacy-cm');
    const context = rig.get(rig.context);
    rig.put(rig.context, 0n);
    rig.map(rig.table, 4, PAGE, 0x5000_0003n, 3n);
    rig.enable(rig.root);
    rig.startQueue(false);
    expect(rig.code(PAGE)).toBe(2);
    rig.put(rig.context, context);
    rig.submit(0x31n | (0x10n << 32n) | (5n << 16n));
    expect(rig.code(PAGE)).toBe(2);
    rig.submit(0x31n | (0x10n << 32n));
    expect(rig.code(PAGE)).toBe(0);
  });

  test('scalable: a PASID entry that was absent goes with its PASID, first-stage faults are not kept', () => {
    const rig = scalableRig({ ...FEATURES, cap: { ...FEATURES.cap, CM: true } });
    const first = rig.page();
    rig.enable(rig.root, 1);
    rig.startQueue(true);
    expect(rig.code(PAGE, { pasid: 2 })).toBe(0x59);
    rig.put(rig.entry(2), 0x41n, FS.did | PWSNP, first);
    expect(rig.code(PAGE, { pasid: 2 })).toBe(0x59);
    rig.submit(0x17n | (FS.did << 16n) | (2n << 32n));
    expect(rig.code(PAGE, { pasid: 2 })).toBe(0x71);
    rig.map(first, 4, PAGE, 0x5000_0067n, 0x27n);
    expect(rig.code(PAGE, { pasid: 2 })).toBe(0);
  });
});
