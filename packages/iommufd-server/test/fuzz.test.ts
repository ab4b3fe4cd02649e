import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Program, region, requestBytes, sharedBytes } from './support/program.ts';
import { serveMock } from './support/serve.ts';

const numRuns = Math.min(Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000), 10_000);
const AT = 0x10_0000n;

let served: Awaited<ReturnType<typeof serveMock>>;
let witness: Program;
const args = sharedBytes(4096);

beforeAll(async () => {
  served = await serveMock();
  witness = await new Program(served.path).ready();
  witness.set({ memory: [region(AT, args)] });
});

afterAll(async () => {
  await witness.kill();
  await served.close();
});

const reply = fc
  .tuple(fc.constantFrom(0, 0, 0, 3, 14), fc.constantFrom(0, 1, 4, 8, 12, 40, 128), fc.uint8Array({ maxLength: 160 }))
  .map(([err, val, data]) => {
    const head = Buffer.alloc(16);
    for (const [i, value] of [8 + data.length, 0x40, err, val].entries()) head.writeUInt32LE(value, i * 4);
    return Buffer.concat([head, data]);
  });
const argument = fc.oneof(fc.constantFrom(0n, AT, (1n << 64n) - 1n), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const command = fc.oneof(fc.integer({ min: 0x3b80, max: 0x3b94 }), fc.constantFrom(0x3ba0, 0x3b64, 0x3b71)).map(BigInt);
const request = fc
  .tuple(fc.integer({ min: 1, max: 8 }), command, argument, argument, argument, fc.uint8Array({ maxLength: 128 }))
  .map(([type, a0, a1, a2, a3, prefetch]) => requestBytes(7, type, [a0, a1, a2, a3], prefetch));
const noise = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
const hello = requestBytes(7, 1, [0x1_4446_4f49n, 0n, 2n, 0n]);

describe('any bytes', () => {
  it('hurt nobody but the connection they came on', { timeout: 120_000 }, async () => {
    const said = fc.array(fc.oneof({ weight: 5, arbitrary: request }, { weight: 8, arbitrary: reply }, noise), {
      maxLength: 8,
    });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.boolean(), said, async (greets, frames) => {
        // It answers asks before they are made, and goes.
        await witness.sayOnly(`say${++runs}`, Buffer.concat([...(greets ? [hello] : []), ...frames]));
        if (runs % 50 !== 0) return;
        const id = `w${runs}`;
        await witness.open(id);
        new DataView(args.buffer).setUint32(0, 12, true);
        expect(await witness.ioctl(0x3b81, AT, id)).toMatchObject({ ret: 0 });
        witness.drop(id);
      }),
      { numRuns },
    );
    expect(served.log.filter((line) => line.includes('internal error'))).toEqual([]);
  });

  it('leave nothing pinned, open or attached', async () => {
    await witness.open('last');
    expect(served.host.pins.pages).toBe(0);
    expect(served.files.iommu.system.devices).toHaveLength(0);
  });
});
