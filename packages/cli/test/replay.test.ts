import { afterAll, expect, test } from 'vitest';
import { FAKE, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const STREAM = [
  { seq: 0, raw: '000105aaaaaaaa', write_offset: 3, status: 'ignored' },
  { seq: 2, raw: '000206aaaa', write_offset: 3 },
  { seq: 1, raw: 'ff0207', write_offset: 3 },
];
const requests = () => scratch.lines('requests.jsonl', STREAM);
const replay = (...argv: string[]) =>
  run('replay', '--vendor', 'fake', '--plugin', FAKE, '--requests', requests(), ...argv);

test('a line a request in stream order, each query after the request it names', async () => {
  const batch = scratch.lines('batch.jsonl', [
    { after_seq: 2, device: 2, iova: '0x0', access: 'read' },
    { after_seq: 0, device: 1, iova: '0x0', access: 'write' },
    { after_seq: 0, device: 3, iova: '0x0', access: 'read' },
    { device: 2, iova: '0x0', access: 'read' },
  ]);
  const { code, lines } = await replay('--batch', batch, '--json');
  expect(code).toBe(0);
  expect(lines).toEqual([
    { seq: 0, type: 'SET', status: 'OK', used: 4, raw: '5a000000' },
    expect.objectContaining({ device: 1, pa: '0x5000', access: 'write', after_seq: 0 }),
    expect.objectContaining({ device: 3, outcome: 'fault', after_seq: 0 }),
    { seq: 2, type: 'SET', status: 'OK', used: 2, raw: '5a000000' },
    expect.objectContaining({ device: 2, pa: '0x6000', after_seq: 2 }),
    { seq: 1, type: 'UNKNOWN', status: null, used: null, raw: '' },
    expect.objectContaining({ device: 2, pa: '0x7000', after_seq: null }),
  ]);
});

test('--endpoints says who exists', async () => {
  const batch = scratch.lines('batch.jsonl', [{ after_seq: 0, device: 1, iova: '0x0' }]);
  const { lines } = await replay('--batch', batch, '--endpoints', '2, 00:00.3', '--json');
  expect(lines[1]).toMatchObject({ outcome: 'fault', fault: { reason: 'bad-device' } });
});

test('text has a line a request and one a query', async () => {
  const batch = scratch.lines('batch.jsonl', [{ after_seq: 0, device: 1, iova: '0x0' }]);
  const { stdout } = await replay('--batch', batch);
  expect(stdout).toMatch(/^ +0 SET +OK, 4 bytes: 5a000000\n +device 0x1 read 0x0 {2}-> {2}0x5000 rw page 4K\n/);
  expect(stdout).toMatch(/1 UNKNOWN +never completed/);
});

test.each([
  ['a query after no request', 'batch', { after_seq: 9, device: 1, iova: '0x0' }, /batch\.jsonl:1: after_seq 9/],
  ['no raw bytes', 'requests', { seq: 0, write_offset: 0 }, /requests\.jsonl:1: raw/],
  ['raw that is not hex', 'requests', { seq: 0, raw: 'xy', write_offset: 0 }, /requests\.jsonl:1: not hex/],
  ['an offset past the end', 'requests', { seq: 0, raw: '00', write_offset: 2 }, /requests\.jsonl:1: write_offset 2/],
  ['no seq', 'requests', { raw: '00', write_offset: 0 }, /requests\.jsonl:1: seq/],
])('%s is exit 2 with file and line', async (_, which, record, message) => {
  const stream = which === 'requests' ? [record] : STREAM;
  const batch = which === 'batch' ? [record] : [];
  const result = await run(
    ...['replay', '--vendor', 'fake', '--plugin', FAKE],
    ...['--requests', scratch.lines('requests.jsonl', stream), '--batch', scratch.lines('batch.jsonl', batch)],
  );
  expect(result).toMatchObject({ code: 2, stdout: '' });
  expect(result.stderr).toMatch(message);
});

test('a seq that stands twice, a bad config and a bad endpoint are exit 2', async () => {
  const twice = scratch.lines('twice.jsonl', [STREAM[0], STREAM[0]]);
  const config = scratch.file('config.json', '{"bad":true}');
  const results = await Promise.all([
    run('replay', '--vendor', 'fake', '--plugin', FAKE, '--requests', twice),
    replay('--config', config),
    replay('--config', scratch.file('list.json', '[]')),
    replay('--endpoints', '1,x'),
  ]);
  expect(results.map(({ code, stdout }) => [code, stdout])).toEqual(results.map(() => [2, '']));
  expect(results.map(({ stderr }) => stderr).join('')).toMatch(
    /twice\.jsonl:2: seq 0 .*\n.*config\.json: bad makes no sense\n.*list\.json: not a JSON object\n.*--endpoints.*'1,x'/,
  );
});
