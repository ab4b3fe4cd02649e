import { afterAll, describe, expect, test } from 'vitest';
import { fakeDump } from './fake/dump.ts';
import { FAKE, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const decode = (...argv: string[]) => run('decode', '--vendor', 'fake', '--plugin', FAKE, ...argv);

describe('bytes on the command line', () => {
  test('a line an argument; flags are 0 and 1, addresses strings', async () => {
    const { code, stdout } = await decode('--kind', 'fault', '0104000001000000', '0x00 05 0000 20000000', '--json');
    expect(code).toBe(0);
    expect(stdout).toBe(
      '{"kind":"fault","name":"FAULT","fields":{"F":1,"Code":4,"Device":1},"raw":"0104000001000000","reserved":[],"problems":[]}\n' +
        '{"kind":"fault","name":"FAULT","fields":{"F":0,"Code":5,"Device":32},"raw":"0005000020000000","reserved":[],"problems":[]}\n',
    );
  });

  test('what is not legal is UNKNOWN with problems, and exit 0', async () => {
    const { code, lines } = await decode('--kind', 'command', '030f000000000080', '--json');
    expect(code).toBe(0);
    expect(lines).toEqual([
      expect.objectContaining({
        name: 'UNKNOWN',
        reserved: ['[11:8]=0xf', '[63:63]=0x1'],
        problems: ['bits 8 to 31 are not zero'],
      }),
    ]);
  });

  test('bytes that are no whole entry are UNKNOWN too', async () => {
    const { code, lines } = await decode('--kind', 'fault', '0102', '', '--json');
    expect(code).toBe(0);
    const unknown = { kind: 'fault', name: 'UNKNOWN', fields: {}, reserved: [] };
    expect(lines).toEqual([
      { ...unknown, raw: '0102', problems: ['2 bytes, but a fault has 8'] },
      { ...unknown, raw: '', problems: ['0 bytes, but a fault has 8'] },
    ]);
  });

  test('text shows problems below the entry', async () => {
    const { stdout } = await decode('--kind', 'command', '030f000000000080');
    expect(stdout).toMatch(/^UNKNOWN .*Op=3.*\n +! reserved .*\n(.*\n)* +! bits 8 to 31/);
  });

  test.each([
    ['not hex', ['--kind', 'fault', '01zz'], /not hex at offset 2: '01zz'/],
    ['half a byte', ['--kind', 'fault', '012'], /odd number of hex digits \(3\)/],
    ['one of several', ['--kind', 'fault', '0104000001000000', '0z'], /offset 1/],
    ['an unknown kind', ['--kind', 'ste', '00'], /no 'ste'; known: command, fault/],
    ['no bytes', ['--kind', 'fault'], /'hex' is missing/],
    ['no kind', ['0104000001000000'], /--kind/],
    ['a dump without a queue', ['--kind', 'fault', '00', '--memory', 'x'], /--queue/],
  ])('%s is exit 2', async (_, argv, message) => {
    const result = await decode(...argv);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
  });
});

describe('a ring of a dump', () => {
  const ring = (...argv: string[]) => decode('--kind', 'command', ...fakeDump(scratch), ...argv);

  test('every entry with its index and whether it was consumed', async () => {
    const { lines } = await ring('--queue', 'command', '--json');
    expect(lines.map(({ index, consumed, name, raw }) => [index, consumed, name, raw])).toEqual([
      [0, true, 'COMMAND', '0100000000000000'],
      [1, true, 'UNKNOWN', '0210000000000000'],
      [2, false, 'UNKNOWN', '030f000000000080'],
      [3, false, 'COMMAND', '0400000000000f00'],
    ]);
    const { stdout } = await ring('--queue', 'command');
    expect(stdout).toMatch(/^ +0 {3}COMMAND/);
    expect(stdout).toMatch(/\n +3 > COMMAND/);
  });

  test.each([
    ['unknown queue', ['--queue', 'event'], /no queue 'event'; known: command/],
    ['bytes as well', ['--queue', 'command', '00'], /'--queue' takes/],
  ])('%s is exit 2', async (_, argv, message) => {
    const result = await ring(...argv);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
  });
});
