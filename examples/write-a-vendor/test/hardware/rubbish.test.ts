import { wordsToBytes } from '@iommukit/bits';
import { DmaAnswer, DmaRequest } from '@iommukit/core';
import { SparseMemory } from '@iommukit/machine';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FRAME_BYTES } from '../../src/format/registers.ts';
import { TurnstileHardware } from '../../src/hardware/hardware.ts';

const word = fc.oneof(fc.integer(), fc.nat(7), fc.constantFrom(0x1000, 0x2003, 0x3001));
const words = fc.array(word, { minLength: 16, maxLength: 64 });
const runs = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 2_000);

/** An enabled unit that woke from these registers, with these words all over the first pages of memory. */
function awake(frame: number[], memory: number[]): { hardware: TurnstileHardware; work: (() => void)[] } {
  const port = new SparseMemory().port();
  for (let pa = 0; pa < 0x4000; pa += 0x400) port.writeBytes(BigInt(pa), wordsToBytes(memory));
  const work: (() => void)[] = [];
  const hardware = new TurnstileHardware({ memory: port, irq: {}, defer: (one) => work.push(one) });
  hardware.wake(wordsToBytes(frame.with(1, 1)).subarray(0, FRAME_BYTES));
  return { hardware, work };
}

test('no registers, memory or request make the model throw or loop', () => {
  fc.assert(
    fc.property(words, words, fc.array(word, { minLength: 5, maxLength: 5 }), (frame, memory, asked) => {
      const { hardware, work } = awake(frame, memory);
      const [device, iovaLo, iovaHi, access, doorbell] = asked as [number, number, number, number, number];
      hardware.mmio.write32(0x18, doorbell);
      for (const one of work) one();
      const request = Object.assign(new DmaRequest(), { device, iovaLo, iovaHi, access: Math.abs(access % 3) });
      for (let i = 0; i < 3; i++) hardware.translate(request, new DmaAnswer());
    }),
    { numRuns: runs },
  );
});

test('an index outside its ring, in a dump full of legal commands, does not keep the queue busy', () => {
  const frame = new Array<number>(16).fill(0);
  frame[0x18 / 4] = 600;
  const { hardware, work } = awake(frame, new Array(128).fill([0x3001, 0]).flat());
  let taken = 0;
  hardware.probe = {
    command() {
      // A model that goes round for ever must fail here, not hang.
      if (++taken > 512) throw new Error('more commands than the ring holds');
    },
  };
  hardware.mmio.write32(0x18, 5);
  for (const one of work) one();
  expect(taken).toBe(5);
});
