import { bytesToHex } from '@iommukit/bits';
import { OUTCOME } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FEATURE_NAMES } from '../../src/format/features.ts';
import { FUZZ_TIMEOUT, RUNS } from '../fuzz.ts';
import { AT, DeviceRig } from './rig.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const u32 = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 0x10, 0xf, 0x40, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);

/** Whatever came in, the device still answers, and after a reset it works. */
function isAlive(rig: DeviceRig): void {
  for (const iova of [0n, 0xfee0_0000n, (1n << 64n) - 1n]) {
    const { outcome } = rig.ask(0x10, iova, 1);
    expect([OUTCOME.TRANSLATED, OUTCOME.BYPASS, OUTCOME.FAULT]).toContain(outcome);
  }
  expect(rig.read(0x70)).toBeLessThan(0x100);
}

const all = FEATURE_NAMES.filter((name) => name !== 'VERSION_1');
const makeRig = () => new DeviceRig({ features: all, maxMappings: 64, maxDomains: 8, probeSize: 48 });

describe('whatever a guest writes', () => {
  const rig = makeRig();

  /** Requests with a plausible type and small ids, so that the rules behind the first check are reached. */
  const request = fc
    .tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 3 }), bytes(96))
    .map(([type, domain, rest]) => Uint8Array.of(type, 0, 0, 0, domain, 0, 0, 0, ...rest));

  test(
    'random requests get a status or length 0, never more than fits',
    () => {
      rig.start();
      fc.assert(
        fc.property(request, fc.integer({ min: 0, max: 80 }), (input, writable) => {
          const { used, answer } = rig.send(bytesToHex(input), writable);
          expect(used === 0 || (used >= 4 && used <= writable)).toBe(true);
          if (used === 0) expect(answer.every((byte) => byte === 0xee)).toBe(true);
          else expect(answer[used - 4]).toBeLessThanOrEqual(8);
          expect(rig.read(0x70)).toBe(0xf);
        }),
        { numRuns: RUNS },
      );
      isAlive(rig);
    },
    FUZZ_TIMEOUT,
  );

  const descriptor = fc.record({
    at: fc.oneof(
      fc.constantFrom(AT.buffers, AT.request.desc, AT.request.used, AT.request.avail, AT.event.desc, 0n, 1n << 52n),
      fc.bigInt(0n, (1n << 64n) - 1n),
    ),
    length: u32,
    flags: fc.oneof(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 0xffff })),
    next: fc.oneof(fc.integer({ min: 0, max: 17 }), fc.integer({ min: 0, max: 0xffff })),
  });

  test(
    'random descriptors, heads and indices end in used elements or NEEDS_RESET',
    () => {
      fc.assert(
        fc.property(
          fc.array(descriptor, { minLength: 1, maxLength: 16 }),
          fc.array(fc.integer({ min: 0, max: 17 }), { maxLength: 20 }),
          fc.option(fc.integer({ min: 0, max: 0xffff })),
          bytes(256),
          (descriptors, heads, index, memory) => {
            rig.start();
            rig.memory.writeBytes(AT.buffers, memory);
            descriptors.forEach(({ at, length, flags, next }, i) => {
              rig.describe('request', i, at, length, flags, next);
              rig.describe('event', i, at, length, flags, next);
            });
            for (const head of heads) rig.offer('request', head);
            if (index !== null) rig.memory.writeBytes(AT.request.avail + 2n, Uint8Array.of(index & 255, index >> 8));
            rig.kick();
            isAlive(rig);
          },
        ),
        { numRuns: RUNS },
      );
    },
    FUZZ_TIMEOUT,
  );

  test(
    'random register and configuration writes',
    () => {
      const offset = fc.oneof(
        fc.constantFrom(
          0x14,
          0x20,
          0x24,
          0x30,
          0x38,
          0x44,
          0x50,
          0x64,
          0x70,
          0x80,
          0x84,
          0x90,
          0x94,
          0xa0,
          0xa4,
          0x124,
        ),
        fc.integer({ min: -8, max: 0x208 }),
      );
      const access = fc.record({ offset, size: fc.constantFrom(1, 2, 4, 4, 4, 8), value: u32 });
      fc.assert(
        fc.property(fc.array(access, { maxLength: 40 }), fc.boolean(), (accesses, started) => {
          if (started) rig.start();
          const { mmio } = rig.device;
          for (const { offset: at, size, value } of accesses) {
            if (size === 1) mmio.write8(at, value & 0xff);
            else if (size === 2) mmio.write16(at, value & 0xffff);
            else if (size === 4) mmio.write32(at, value);
            else mmio.write64(at, BigInt(value) << 7n);
            const back = [mmio.read8(at), mmio.read16(at), mmio.read32(at), Number(mmio.read64(at))];
            expect(back.every((read) => read >= 0 && read <= 0xffff_ffff)).toBe(true);
          }
          isAlive(rig);
        }),
        { numRuns: RUNS },
      );
      rig.start();
      expect(rig.read(0x70)).toBe(0xf);
    },
    FUZZ_TIMEOUT,
  );

  test(
    'random frames wake it',
    () => {
      const sleeper = makeRig();
      fc.assert(
        fc.property(bytes(0x220), (frame) => {
          sleeper.device.wake(frame);
          isAlive(sleeper);
        }),
        { numRuns: RUNS },
      );
    },
    FUZZ_TIMEOUT,
  );
});
