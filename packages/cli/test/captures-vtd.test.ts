import { afterAll, describe, expect, test } from 'vitest';
import { capturesOf } from './captures.ts';
import { firstDifference, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());

interface Golden {
  readonly sid_num: number;
  readonly pasid: number | null;
  readonly iova: string;
  readonly pa: string;
  readonly perm: string;
  readonly size: number;
  readonly write: boolean;
  readonly code: number;
}

/** VT-d spec 6.5.2: the descriptor types that occur, with the manual's names. */
const DESCRIPTORS: Record<number, string> = {
  1: 'cc_inv_dsc',
  2: 'iotlb_inv_dsc',
  3: 'dev_tlb_inv_dsc',
  4: 'iec_inv_dsc',
  5: 'inv_wait_dsc',
  6: 'p_iotlb_inv_dsc',
  7: 'pc_inv_dsc',
  8: 'p_dev_tlb_inv_dsc',
};

describe.each(capturesOf('intel-vtd', scratch))('$name', (capture) => {
  const golden = capture.json('golden.json');
  const dump = capture.dump('vtd-regs.bin');
  const ask = async (queries: object[]) => {
    const batch = scratch.lines(`${capture.name}.jsonl`, queries);
    const { code, stderr, lines } = await run('translate', ...dump, '--batch', batch, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return lines;
  };

  test('every translation', async () => {
    const translations: Golden[] = golden.translations;
    const lines = await ask(
      translations.map(({ sid_num: device, pasid, iova, perm }) => {
        return { device, pasid, iova, access: perm.includes('r') ? 'read' : 'write' };
      }),
    );
    const found = lines.map(({ outcome, pa, permissions, pageSize }) => [outcome, pa, permissions, pageSize]);
    const wanted = translations.map(({ pa, perm, size }) => ['translated', pa, perm, size]);
    expect(firstDifference(found, wanted)).toBe(null);
  });

  test('every fault, with its number', async () => {
    const faults: Golden[] = golden.faults;
    const lines = await ask(
      faults.map(({ sid_num: device, pasid, iova, write }) => {
        return { device, pasid, iova, access: write ? 'write' : 'read' };
      }),
    );
    expect(lines.map(({ outcome, fault }) => [outcome, fault?.code])).toEqual(
      faults.map(({ code }) => ['fault', code]),
    );
  });

  test('mappings are the listed ranges', async () => {
    for (const [bdf, ranges] of Object.entries(golden.ranges)) {
      const { lines } = await run('mappings', ...dump, '--device', bdf, '--json');
      const found = lines.map(({ iova, pa, size, permissions, pageSize }) => [iova, pa, size, permissions, pageSize]);
      const listed = (ranges as [string, string, string, string, number][]).map(([iova, pa, size, perm, page]) => {
        return [iova, pa, Number(size), perm, page];
      });
      expect([bdf, found]).toEqual([bdf, listed]);
    }
  });

  test('every descriptor of the ring by name', async () => {
    const { ring } = capture.json('descriptors.json');
    const argv = ['--kind', 'descriptor', '--queue', 'invalidation', '--json'];
    const { lines } = await run('decode', ...dump, ...argv);
    expect(lines.length).toBe(ring.entries);
    const byIndex = new Map(lines.map((line) => [line.index, line]));
    ring.raw.forEach((raw: string, index: number) => {
      const type = (Number.parseInt(raw.slice(0, 2), 16) & 15) | ((Number.parseInt(raw.slice(2, 4), 16) >> 1) & 0x70);
      expect(byIndex.get(index)).toMatchObject({ raw, name: DESCRIPTORS[type], problems: [] });
    });
  });

  test('every descriptor since boot by name', async () => {
    const { descriptors, descriptor_bytes: size } = capture.json('descriptors.json');
    const word = (text: string) => Buffer.from(new BigUint64Array([BigInt(text)]).buffer).toString('hex');
    const hex = descriptors.map(([, , ...words]: string[]) =>
      words
        .slice(0, size / 8)
        .map(word)
        .join(''),
    );
    const { lines } = await run('decode', '--vendor', 'intel-vtd', '--kind', 'descriptor', '--json', ...hex);
    expect(lines.map(({ name }) => name)).toEqual(descriptors.map(([, type]: number[]) => DESCRIPTORS[type!]));
    expect(lines.flatMap(({ problems }) => problems)).toEqual([]);
  });
});

test('a vendor without request streams has nothing to replay', async () => {
  const result = await run('replay', '--vendor', 'intel-vtd', '--requests', scratch.file('none.jsonl', ''));
  expect(result).toMatchObject({ code: 2, stdout: '' });
  expect(result.stderr).toMatch(/intel-vtd has no request stream/);
});
