import { afterAll, expect, test } from 'vitest';
import { joinRuns } from '../src/dump/runs.ts';
import { fakeDump } from './fake/dump.ts';
import { FAKE, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const mappings = (...argv: string[]) =>
  run('mappings', '--vendor', 'fake', '--plugin', FAKE, ...fakeDump(scratch), ...argv);

test('runs join only where iova, pa, permissions and page size go on', async () => {
  const { code, stdout } = await mappings('--device', '1', '--json');
  expect(code).toBe(0);
  expect(stdout).toBe(
    [
      '{"device":1,"pasid":null,"iova":"0x0","size":8192,"pa":"0x50000000","permissions":"rw","pageSize":4096}',
      '{"device":1,"pasid":null,"iova":"0x2000","size":4096,"pa":"0x50003000","permissions":"rw","pageSize":4096}',
      '{"device":1,"pasid":null,"iova":"0x3000","size":4096,"pa":"0x50004000","permissions":"r","pageSize":4096}',
      '{"device":1,"pasid":null,"iova":"0x5000","size":4096,"pa":"0x600000005000","permissions":"w","pageSize":4096}',
      '',
    ].join('\n'),
  );
});

test('pages of different size do not join', () => {
  const leaf = (iova: bigint, size: bigint) => ({ iova, pa: iova, size, pageSize: size, permissions: 3 });
  const runs = [...joinRuns([leaf(0x1f_f000n, 0x1000n), leaf(0x20_0000n, 0x20_0000n), leaf(0x40_0000n, 0x20_0000n)])];
  expect(runs.map(({ iova, size }) => [iova, size])).toEqual([
    [0x1f_f000n, 0x1000n],
    [0x20_0000n, 0x40_0000n],
  ]);
});

test('without --device every translating device is listed; a device that does not translate maps nothing', async () => {
  const all = await mappings('--json');
  expect(new Set(all.lines.map(({ device }) => device))).toEqual(new Set([1]));
  expect(await mappings('--device', '00:00.3')).toMatchObject({ code: 0, stdout: '' });
  expect(await mappings('--device', '1', '--pasid', '5')).toMatchObject({ code: 0, stdout: '' });
});

test('text has a line a run', async () => {
  const { stdout } = await mappings();
  expect(stdout.split('\n')[0]).toMatch(/^00:00\.1 +0x0-0x1fff +-> 0x50000000 +rw +8K in pages of 4K$/);
});

test('a device that cannot be is bad usage', async () => {
  expect(await mappings('--device', 'zz')).toMatchObject({ code: 2, stdout: '' });
});
