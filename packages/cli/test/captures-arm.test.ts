import { afterAll, describe, expect, test } from 'vitest';
import { capturesOf } from './captures.ts';
import { firstDifference, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());

type Golden = Record<string, string>;

/** Golden's own words for a fault, and the event numbers of IHI 0070 section 7.3. */
const EVENTS: Record<string, [string, number | null]> = {
  C_BAD_STREAMID: ['C_BAD_STREAMID', 2],
  F_TRANSLATION: ['F_TRANSLATION', 16],
  F_ADDR_SIZE: ['F_ADDR_SIZE', 17],
  F_ACCESS: ['F_ACCESS', 18],
  F_PERMISSION: ['F_PERMISSION', 19],
  'ABORT (STE.Config=0, no event)': ['ABORT', null],
};

const query = ({ streamId, ssid, iova, access = 'read' }: Golden) => ({ device: streamId, pasid: ssid, iova, access });
/** The direction of a golden translation is not told: ask for what its permission allows. */
const allowed = (entry: Golden) => ({ ...query(entry), access: entry.perm!.includes('R') ? 'read' : 'write' });

describe.each(capturesOf('arm-smmuv3', scratch))('$name', (capture) => {
  const golden = capture.json('golden.json');
  const dump = capture.dump('smmu-regs.bin');
  const ask = async (queries: object[]) => {
    const batch = scratch.lines(`${capture.name}.jsonl`, queries);
    const { code, stderr, lines } = await run('translate', ...dump, '--batch', batch, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return lines;
  };

  test('every translation', async () => {
    const lines = await ask(golden.translations.map(allowed));
    const found = lines.map(({ outcome, pa, permissions, pageSize }) => [outcome, pa, permissions, pageSize]);
    const wanted = golden.translations.map(({ pa, perm, size }: Golden) => [
      'translated',
      pa,
      perm!.toLowerCase(),
      Number(size),
    ]);
    expect(firstDifference(found, wanted)).toBe(null);
  });

  test('every bypass', async () => {
    const lines = await ask(golden.bypass.map(allowed));
    expect(lines.map(({ outcome, pa }) => [outcome, pa])).toEqual(
      golden.bypass.map(({ pa }: Golden) => ['bypass', pa]),
    );
  });

  test('every fault, with its own name and number', async () => {
    const lines = await ask(golden.faults.map(query));
    const found = lines.map(({ outcome, fault }) => [outcome, fault?.name, fault?.code]);
    const wanted = golden.faults.map(({ fault }: Golden) => ['fault', ...EVENTS[fault!]!]);
    expect(firstDifference(found, wanted)).toBe(null);
  });

  test('mappings are the leaves of the tables', async () => {
    const { lines } = await run('mappings', ...dump, '--json');
    for (const { streamIds, mapped } of golden.addressSpaces)
      for (const streamId of streamIds)
        expect(leavesOf(lines.filter(({ device }) => device === streamId))).toEqual(
          mapped.map(({ iova, pa, size, perm }: Golden) => [iova, pa, Number(size), perm!.toLowerCase()]),
        );
    const translating = golden.addressSpaces.flatMap(({ streamIds }: { streamIds: number[] }) => streamIds);
    expect(new Set(lines.map(({ device }) => device))).toEqual(new Set(translating));
  });

  test('every command of the ring by name', async () => {
    const { ring } = capture.json('commands.json');
    const { lines } = await run('decode', ...dump, '--kind', 'command', '--queue', 'command', '--json');
    const byRaw = new Map(lines.map(({ raw, name, problems }) => [raw, [name, problems]]));
    for (const [raw, name] of ring) expect([raw, byRaw.get(raw)]).toEqual([raw, [`CMD_${name}`, []]]);
    expect(lines.filter(({ consumed }) => consumed).length).toBeGreaterThanOrEqual(ring.length);
  });

  test('every event record by type', async () => {
    const { lines } = await run('decode', ...dump, '--kind', 'event', '--queue', 'event', '--json');
    const names = new Map(Object.values(EVENTS).map(([name, number]) => [number, name]));
    for (const { index, type } of golden.events)
      expect(lines.find((line) => line.index === index)).toMatchObject({ name: names.get(type), problems: [] });
  });
});

function leavesOf(runs: { iova: string; pa: string; size: number; pageSize: number; permissions: string }[]) {
  return runs.flatMap(({ iova, pa, size, pageSize, permissions }) =>
    Array.from({ length: size / pageSize }, (_, at) => {
      const by = BigInt(at) * BigInt(pageSize);
      const plus = (text: string) => `0x${(BigInt(text) + by).toString(16)}`;
      return [plus(iova), plus(pa), pageSize, permissions];
    }),
  );
}
