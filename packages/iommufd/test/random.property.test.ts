import fc from 'fast-check';
import { expect, test } from 'vitest';
import { COMMANDS, uapi, VfioDeviceFile } from '../src/index.ts';
import { Bench, NOTHING_LEFT } from './support/bench.ts';
import { FAKE } from './support/fake-driver.ts';

const runs = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);
/** Calls on one open file; as many files as make up the number of runs. */
const CALLS = 40;

/** Numbers that mean something somewhere: ids, flags, types, lengths, addresses. */
const small = fc.constantFrom(
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  12,
  16,
  24,
  40,
  64,
  4095,
  4096,
  8192,
  0x8000_0000,
  0xffff_ffff,
);
const types = fc.constantFrom(...Object.values(FAKE));
const word = fc.oneof({ weight: 6, arbitrary: small }, types, fc.integer({ min: 0, max: 2 ** 32 - 1 }));

interface Call {
  readonly pick: number;
  readonly size: number | null;
  readonly words: readonly number[];
  /** Which words are user addresses, in pairs of (index, offset). */
  readonly pointer: number;
  readonly at: number;
}

const call: fc.Arbitrary<Call> = fc.record({
  pick: fc.nat(COMMANDS.length + 7),
  size: fc.option(fc.constantFrom(0, 4, 8, 12, 24, 40, 48, 64, 200, 0xffff_ffff), { freq: 5 }),
  words: fc.array(word, { minLength: 16, maxLength: 16 }),
  pointer: fc.nat(16),
  at: fc.constantFrom(0x100, 0x800, 0xffd8, 0xfff0, 0xffff),
});

const VFIO = [0x3b64, 0x3b65, 0x3b66, 0x3b70, 0x3b71, 0x3b72, 0x3b95, 0xffff_ffff];

function play(bench: Bench, device: VfioDeviceFile, calls: readonly Call[]): void {
  for (const { pick, size, words, pointer, at } of calls) {
    const command = COMMANDS[pick];
    const bytes = new Uint8Array(Uint32Array.from(words).buffer);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, size ?? command?.struct.size ?? 64, true);
    if (pointer >= 2 && pointer < 15) view.setBigUint64((pointer & ~1) * 4, bench.scratch + 0x8000n, true);
    const address = bench.scratch + BigInt(at);
    bench.process.write(address, bytes) || bench.process.write(address, bytes.subarray(0, 0x10000 - at));
    const request = command?.request ?? VFIO[pick - COMMANDS.length]!;
    const result = bench.file.ioctl(request, address, bench.process);
    expect(Number.isInteger(result) && result > -200).toBe(true);
    const target = device.ioctl(0x3b76 + (pick % 3), address, bench.process);
    expect(Number.isInteger(target) && target > -200).toBe(true);
  }
}

test('any bytes give a result or an errno, and closing leaves nothing behind', () => {
  fc.assert(
    fc.property(fc.array(call, { minLength: CALLS, maxLength: CALLS }), fc.boolean(), (calls, prepared) => {
      const bench = new Bench({ dirty: true, maxPasids: 64 });
      if (prepared) prepare(bench);
      const device = new VfioDeviceFile(bench.addDevice());
      bench.process.open(bench.file);
      play(bench, device, calls);
      device.close();
      for (let fd = 3; fd < 200; fd++) {
        try {
          bench.process.closeFd(fd);
        } catch {
          // never opened
        }
      }
      bench.bound.unbind();
      bench.file.close();
      expect(bench.context.closed).toBe(true);
      expect(bench.leftovers).toEqual(NOTHING_LEFT);
    }),
    { numRuns: Math.ceil(runs / CALLS) },
  );
});

/** Ids 2 … 8 stand for one object of each kind, so that random ids find some. */
function prepare(bench: Bench): void {
  const ioas = bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id;
  const flags = 7;
  bench.ok(uapi.IOAS_MAP, { ioas_id: ioas, flags, user_va: bench.scratch, length: 0x4000n, iova: 0x1000n });
  const parent = bench.ok(uapi.HWPT_ALLOC, { flags: 1, dev_id: 1, pt_id: ioas }).out_hwpt_id;
  const data = { data_type: FAKE.HWPT_DATA, data_len: 8, data_uptr: bench.scratch };
  bench.ok(uapi.HWPT_ALLOC, { dev_id: 1, pt_id: parent, ...data });
  bench.ok(uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: 1, hwpt_id: parent });
  bench.ok(uapi.FAULT_QUEUE_ALLOC, {});
  bench.ok(uapi.HWPT_ALLOC, { flags: 2, dev_id: 1, pt_id: ioas });
}
