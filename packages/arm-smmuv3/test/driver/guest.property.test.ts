import { isIommuError, type NativeInvalidation } from '@iommukit/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseGuestSte } from '../../src/driver/guest-ste.ts';
import { rigOf, SYNC } from './rig.ts';
import { NESTING } from './scripted-smmu.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

/** Random words hardly ever pass: these differ from a good STE in a few bits. */
const nearlyGood = fc
  .tuple(fc.array(fc.integer({ min: 0, max: 127 }), { maxLength: 4 }), fc.constantFrom(0x01, 0x09, 0x0b, 0x03))
  .map(([flips, low]) => {
    const ste = new Uint8Array(16);
    ste[0] = low;
    ste[3] = 0x40;
    for (const bit of flips) ste[bit >> 3]! ^= 1 << (bit & 7);
    return ste;
  });

test('any guest STE is EIO or leaves the host’s half of the physical entry alone', () => {
  const { smmu, driver, device } = rigOf(NESTING);
  const handle = device([8]);
  const parent = driver.allocPaging(handle, 1, null);
  const viommu = driver.allocViommu!(handle, parent, 1, null);
  viommu.setVirtualId(handle, 0n);
  parent.attach(handle, driver.blocked);
  const host = smmu.words(smmu.steAddress(8)).slice(2);
  fc.assert(
    fc.property(fc.oneof(bytes(16), nearlyGood), (ste) => {
      try {
        viommu.allocNested(handle, 0, { type: 2, bytes: ste }).attach(handle, parent);
      } catch (error) {
        expect(isIommuError(error) && error.errno).toBe('EIO');
        return;
      }
      const [word0, word1, ...rest] = smmu.words(smmu.steAddress(8)).map((word) => BigInt(`0x${word}`));
      const config = Number((word0! >> 1n) & 7n);
      expect([0, 6, 7]).toContain(config);
      expect(rest.map((word) => word.toString(16))).toEqual(config === 0 ? host.map(() => '0') : host);
      // Of word 1 a guest decides S1DSS, S1CIR, S1COR, S1CSH and S1STALLD; MEV and S2FWB are the host's.
      const own = config === 0 ? 0n : config === 6 ? 0x200_0000n : 0x208_0000n;
      expect(word1! & ~0x800_00ffn).toBe(own);
      expect(word0! & 0x07f0_0000_0000_0000n).toBe(0n);
    }),
    { numRuns: RUNS },
  );
});

test('any data of any length is taken or refused with EIO or EINVAL', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4 }), fc.uint8Array({ maxLength: 32 }), (type, data) => {
      try {
        const { words } = parseGuestSte({ type, bytes: data });
        expect([type, data.length, words.length]).toEqual([2, 16, 4]);
      } catch (error) {
        expect(isIommuError(error) && error.errno).toBe(type === 2 && data.length === 16 ? 'EIO' : 'EINVAL');
      }
    }),
    { numRuns: RUNS },
  );
});

/** Commands a guest may have carried out, by opcode, and whether word 1 holds a StreamID. */
const AIMED: Readonly<Record<number, boolean>> = {
  5: true,
  6: true,
  16: false,
  17: false,
  18: false,
  19: false,
};

test('whatever a guest queues, only its own VMID and StreamIDs reach the hardware', () => {
  const { smmu, driver, device } = rigOf(NESTING);
  const handle = device([0x123]);
  const parent = driver.allocPaging(handle, 1, null);
  const viommu = driver.allocViommu!(handle, parent, 1, null);
  viommu.setVirtualId(handle, 0x42n);
  const opcode = fc.oneof(fc.constantFrom(0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40, 0x03, 0x46), fc.nat(255));
  const command = fc
    .tuple(bytes(16), opcode, fc.boolean())
    .map(([raw, code, known]) =>
      known ? [code, ...raw.subarray(1, 4), 0x42, 0, 0, 0, ...raw.subarray(8)] : [code, ...raw.subarray(1)],
    );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 6 }), (commands) => {
      smmu.takeCommands();
      const request: NativeInvalidation = {
        type: 1,
        entryLength: 16,
        entryCount: commands.length,
        bytes: new Uint8Array(commands.flat()),
      };
      const { done, error } = viommu.invalidate(request);
      expect(error === null ? commands.length : done).toBe(done);
      if (error !== null) expect(isIommuError(error) && error.errno).toBe('EIO');
      const issued = smmu.takeCommands();
      if (issued.length > 0) expect(issued.pop()).toBe(SYNC);
      expect(issued.length).toBeLessThanOrEqual(done);
      for (const raw of issued) {
        const aimed = AIMED[Number.parseInt(raw.slice(0, 2), 16)];
        expect(aimed, raw).toBeDefined();
        expect(raw.slice(8, aimed ? 16 : 12), raw).toBe(aimed ? '23010000' : '0100');
      }
    }),
    { numRuns: RUNS },
  );
});
