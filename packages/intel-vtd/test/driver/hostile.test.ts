import { type DriverPorts, isIommuError, PROT, WordMmio } from '@iommukit/core';
import { PageAllocator, SparseMemory } from '@iommukit/machine';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VtdDriver } from '../../src/driver/driver.ts';
import { device, FIRST_STAGE, FULL, LEGACY } from './scripted-unit.ts';

/** Each run may wait for a unit that never answers, several times. */
const RUNS = Math.max(50, Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000) / 100);

/** A unit with honest identification registers that answers everything else as the dice fall. */
class Dice extends WordMmio {
  private readonly identity: Map<number, number>;
  private readonly rolls: readonly number[];
  private readonly memory: SparseMemory;
  private at = 0;
  private turns = 0;

  constructor({ cap, ecap }: typeof FULL, rolls: readonly number[], memory: SparseMemory) {
    super();
    this.rolls = rolls;
    this.memory = memory;
    const low = (value: bigint) => Number(value & 0xffff_ffffn);
    this.identity = new Map([
      [0x00, 0x10],
      [0x08, low(cap)],
      [0x0c, low(cap >> 32n)],
      [0x10, low(ecap)],
      [0x14, low(ecap >> 32n)],
    ]);
  }

  override read32(at: number): number {
    return this.identity.get(at) ?? this.roll();
  }

  override read64(at: number): bigint {
    return BigInt(this.read32(at)) | (BigInt(this.read32(at + 4)) << 32n);
  }

  override write32(_at: number, _value: number): void {}
  override write64(_at: number, _value: bigint): void {}

  /** Memory is the unit's too: it may write the status words, or anything else. */
  scribble(): void {
    if (++this.turns % 64 !== 0) return;
    this.memory.write32(0, 0x4000_0000 + (this.roll() & 0xffff) * 4, this.roll() & 3);
  }

  private roll(): number {
    this.at = (this.at + 1) % this.rolls.length;
    return this.rolls[this.at]! >>> 0;
  }
}

describe('a unit that obeys no rule', () => {
  it.each([
    ['legacy', LEGACY],
    ['legacy, by registers', { ...LEGACY, ecap: LEGACY.ecap & ~2n }],
    ['first stage', FIRST_STAGE],
    ['full', FULL],
  ])('%s: every operation ends, with an errno if it fails', (_title, registers) => {
    const word = fc.oneof(fc.constantFrom(0, -1, 0xc400_0000, 0x10, 0x50), fc.integer());
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 24 }), (rolls) => {
        const memory = new SparseMemory();
        const mmio = new Dice(registers, rolls, memory.port());
        let handler: (() => void) | null = null;
        const fault = { msi: { address: 0xfee0_0000n, data: 0x20 }, handle: (h: typeof handler) => (handler = h) };
        const time = { relax: () => mmio.scribble() };
        const pages = new PageAllocator(memory.port(), 0x4000_0000n, 0x4fff_ffffn);
        const ports: DriverPorts = { mmio, memory: memory.port(), pages, irq: { fault }, time };
        const driver = new VtdDriver(ports, {
          id: 'unit',
          mmioBase: 0n,
          hostAddressBits: 46,
          reservations: [],
          properties: {},
        });
        const attempt = (what: () => void) => {
          try {
            what();
          } catch (error) {
            expect(isIommuError(error)).toBe(true);
          }
        };
        attempt(() => {
          driver.probe();
          handler?.();
          const handle = driver.probeDevice(device([0x10], { pasidBits: 4, ats: true }));
          const domain = driver.allocPaging(handle, 0, null);
          attempt(() => domain.attach(handle, driver.blocked));
          domain.mapPages(0x1000n, 0x1000n, 0x1000n, 4, PROT.READ);
          attempt(() => domain.flushAll());
          attempt(() => driver.blocked.attach(handle, domain));
          driver.releaseDevice(handle);
        });
        attempt(() => driver.release());
      }),
      { numRuns: RUNS },
    );
  });
});
