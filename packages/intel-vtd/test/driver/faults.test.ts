import { PROT } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeFault } from '../../src/driver/fault-events.ts';
import { device, FULL, LEGACY, upRig } from './scripted-unit.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);
const F = 1n << 63n;
const READ = 1n << 62n;

describe('fault records', () => {
  it('one record: read, delivered, freed; overflow is cleared after it', () => {
    const rig = upRig(LEGACY);
    // read of 0x12345000 by 00:02.0, fault reason 6; FRCD at 220h, one of them (the captured machine)
    rig.unit.fault(0, 0x1234_5000n, F | READ | (6n << 32n) | 0x10n);
    rig.unit.words.set(0x34, 0x3); // PPF, PFO, FRI 0
    rig.interrupt();
    expect(rig.faults).toEqual([
      {
        reason: 'permission',
        name: 'LGN.3',
        code: 6,
        device: 0x10,
        pasid: null,
        iova: 0x1234_5000n,
        access: 'read',
        raw: Uint8Array.from([0, 0x50, 0x34, 0x12, 0, 0, 0, 0, 0x10, 0, 0, 0, 6, 0, 0, 0xc0]),
      },
    ]);
    // the capture's own order: 22c=80000000, then FSTS. The scripted status keeps PPF, so the sweep looks again.
    expect(rig.unit.program.slice(0, 2)).toEqual(['22c=80000000', '34=1']);
  });

  it('several records, from the first pending one around the end', () => {
    const rig = upRig({ ...LEGACY, cap: LEGACY.cap | (3n << 40n) });
    for (const [index, sid] of [
      [2, 0xa],
      [3, 0xb],
      [0, 0xc],
    ] as const)
      rig.unit.fault(index, 0x1000n, F | (5n << 32n) | BigInt(sid));
    rig.unit.words.set(0x34, 0x202);
    rig.interrupt();
    expect(rig.faults.map(({ device: sid, access }) => [sid, access])).toEqual([
      [0xa, 'write'],
      [0xb, 'write'],
      [0xc, 'write'],
    ]);
  });

  it('a stray ATS completion is cleared: while it stands no event is raised', () => {
    const rig = upRig(LEGACY);
    rig.unit.words.set(0x34, 0x20);
    rig.interrupt();
    expect(rig.unit.program).toEqual(['34=21']);
    expect(rig.faults).toEqual([]);
  });

  it('nothing pending: nothing read', () => {
    const rig = upRig(LEGACY);
    rig.interrupt();
    expect(rig.unit.writes).toEqual([]);
  });

  it('a status that stays set is swept a bounded number of times', () => {
    const rig = upRig(LEGACY);
    rig.unit.words.set(0x34, 0x2);
    rig.interrupt();
    expect(rig.unit.writes.length).toBeLessThan(10);
  });

  it('what an interrupt brings in the middle of an operation is delivered after it', () => {
    const rig = upRig(FULL);
    const { driver, unit } = rig;
    const handle = driver.probeDevice(device([1]));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    const seen: string[] = [];
    driver.onFault(() => seen.push(unit.fetched.length === 0 ? 'inside' : 'after'));
    unit.fetched.length = 0;
    unit.refuse = () => {
      unit.fault(0, 0x1000n, F | (0x71n << 32n) | 1n);
      unit.words.set(0x34, 0x2);
      rig.interrupt();
      return 0;
    };
    domain.mapPages(0x1000n, 0x1000n, 0x1000n, 1, PROT.READ);
    domain.syncUnmap({ start: 0x1000n, last: 0x1fffn, pageSize: 0x1000n, freed: [] });
    expect(seen).toEqual(['after']);
  });

  it.each([
    // fault reason, T1T2 EXE PP of bits 127..64, name, access, pasid
    [F | READ | (1n << 31n) | (0x71n << 32n) | (0x12345n << 40n), 'SFS.2', 'read', 0x12345],
    [F | READ | (1n << 31n) | (1n << 30n) | (0x81n << 32n) | (7n << 40n), 'SGN.2', 'execute', 7],
    [F | READ | (1n << 28n) | (0x85n << 32n), 'SGN.6', 'write', null], // atomic
    [F | (1n << 28n) | (0x47n << 32n), 'SCT.8', null, null], // page request
    [F | (0xffn << 32n), 'FFh', 'write', null],
  ])('decodes %s', (hi, name, access, pasid) => {
    const raw = new Uint8Array(16);
    new DataView(raw.buffer).setBigUint64(8, hi, true);
    expect(decodeFault(raw)).toMatchObject({ name, access, pasid });
  });

  it('interrupt-remapping faults have no address', () => {
    const raw = new Uint8Array(16).fill(0xff);
    raw[12] = 0x22;
    expect(decodeFault(raw).iova).toBeNull();
  });

  it('any sixteen bytes decode', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (raw) => {
        const { code, device: sid, iova, pasid } = decodeFault(raw);
        expect(code).toBe(raw[12]);
        expect(sid).toBe(raw[8]! | (raw[9]! << 8));
        expect(iova === null || (iova & 0xfffn) === 0n).toBe(true);
        expect(pasid === null || pasid < 1 << 20).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});
