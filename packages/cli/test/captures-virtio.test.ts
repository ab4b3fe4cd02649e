import { afterAll, describe, expect, test } from 'vitest';
import { capturesOf } from './captures.ts';
import { firstDifference, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const ACCESS: Record<string, string> = { r: 'read', w: 'write' };

describe.each(capturesOf('virtio-iommu', scratch))('$name', (capture) => {
  const golden = capture.json('golden.json');
  const stream = capture.lines('requests.jsonl');
  const replay = async (queries: object[]) => {
    const batch = scratch.lines(`${capture.name}.jsonl`, queries);
    const files = ['--requests', capture.path('requests.jsonl'), '--batch', batch];
    const { code, stderr, lines } = await run('replay', '--vendor', 'virtio-iommu', ...files, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return lines;
  };

  test('every status and every byte the device wrote', async () => {
    const lines = await replay([]);
    const found = lines.map(({ seq, type, status, used, raw }) => [seq, type, status, used, raw]);
    const wanted = stream.map(({ seq, type, status, raw, write_offset: offset }) => {
      // Linux' driver leaves 0 for MAP and UNMAP, whose device-written part is the four bytes of the tail.
      const written = offset === 0 ? raw.slice(-8) : raw.slice(offset * 2);
      return [seq, type, status, written.length / 2, written];
    });
    expect(firstDifference(found, wanted)).toBe(null);
  });

  test('every translation and fault at its own point of the stream', async () => {
    const asked = [...capture.lines('translations.jsonl'), ...golden.faults];
    const lines = await replay(
      asked.map(({ after_seq, endpoint: device, iova, access }) => {
        return { after_seq, device, iova, access: ACCESS[access] };
      }),
    );
    const answers = lines.filter(({ outcome }) => outcome !== undefined);
    const key = (seq: number, device: number, iova: string, access: string) => `${seq} ${device} ${iova} ${access}`;
    const found = new Map(answers.map((one) => [key(one.after_seq, one.device, one.iova, one.access), one]));
    expect(answers.length).toBe(asked.length);
    for (const { after_seq, endpoint, iova, access, pa, reason } of asked) {
      const answer = found.get(key(after_seq, endpoint, iova, ACCESS[access]!));
      if (reason === undefined) expect(answer).toMatchObject({ outcome: 'translated', pa });
      else expect(answer).toMatchObject({ outcome: 'fault', fault: { name: reason } });
    }
  });

  test('what is live at the end', async () => {
    const live = golden.translations_live_at_end;
    const queries = live.map(({ endpoint: device, iova, access }: Record<string, string>) => {
      return { device, iova, access: ACCESS[access!] };
    });
    const answers = (await replay(queries)).filter(({ outcome }) => outcome !== undefined);
    expect(answers.map(({ outcome, pa }) => [outcome, pa])).toEqual(
      live.map(({ pa }: { pa: string }) => ['translated', pa]),
    );
  });
});
