import { afterAll, describe, expect, test } from 'vitest';
import { fakeDump } from './fake/dump.ts';
import { FAKE, run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const translate = (...argv: string[]) =>
  run('translate', '--vendor', 'fake', '--plugin', FAKE, ...fakeDump(scratch), ...argv);

describe('one query', () => {
  test('a translated one has every field of the contract, in its order', async () => {
    const { code, stdout, stderr } = await translate('--device', '1', '--iova', '0x1234', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      '{"device":1,"pasid":null,"iova":"0x1234","access":"read","outcome":"translated",' +
        '"pa":"0x50001234","pageSize":4096,"permissions":"rw","fault":null}\n',
    );
  });

  test('an address above 32 bits keeps both halves', async () => {
    const { lines } = await translate('--device', '1', '--iova', '0x5008', '--access', 'write', '--json');
    expect(lines).toMatchObject([{ pa: '0x600000005008', permissions: 'w', access: 'write' }]);
  });

  test('a bypass gives the address back', async () => {
    const { lines } = await translate('--device', '00:00.3', '--iova', '0xffffffffffffffff', '--json');
    expect(lines[0]).toEqual({
      device: 3,
      pasid: null,
      iova: '0xffffffffffffffff',
      access: 'read',
      outcome: 'bypass',
      pa: '0xffffffffffffffff',
      pageSize: null,
      permissions: 'rw',
      fault: null,
    });
  });

  test.each([
    ['1', '0x4000', 'read', { reason: 'not-present', name: 'FAKE_4', code: 4, record: '0104000001000000' }],
    ['1', '0x3000', 'write', { reason: 'permission', name: 'FAKE_5', code: 5, record: '0105000001000000' }],
    ['2', '0', 'read', { reason: 'blocked', name: 'ABORT', code: null, record: null }],
    ['4', '0', 'read', { reason: 'fetch-abort', name: 'FAKE_2', code: 2, record: '0102000004000000' }],
    ['99', '0', 'read', { reason: 'bad-device', name: 'FAKE_1', code: 1, record: '0101000063000000' }],
  ])('device %s, %s, %s faults with its own words, and that is exit 0', async (device, iova, access, fault) => {
    const { code, lines } = await translate('--device', device, '--iova', iova, '--access', access, '--json');
    expect(code).toBe(0);
    expect(lines).toEqual([expect.objectContaining({ outcome: 'fault', pa: null, pageSize: null, fault })]);
  });

  test('--explain lists what was read, in order, with bytes and fields', async () => {
    const { lines } = await translate('--device', '1', '--iova', '0x1234', '--explain', '--json');
    expect(lines[0].steps).toEqual([
      { what: 'DEV', address: '0x100008', raw: '0110100000000000', fields: { V: 1, Bypass: 0, Table: '0x101000' } },
      { what: 'PTE', address: '0x101008', raw: '0310005000000000', fields: { R: 1, W: 1, Page: '0x50001000' } },
    ]);
  });

  test('text is a walk for people', async () => {
    const { stdout } = await translate('--device', '1', '--iova', '0x1234', '--explain');
    expect(stdout).toMatch(/DEV at 0x100008\n.*01101000 00000000\n.*DEV\{V Table=0x101000\}/);
    expect(stdout).toMatch(/=> 0x50001234 rw page 4K\n$/);
    const fault = await translate('--device', '2', '--iova', '1');
    expect(fault.stdout).toBe('device 0x2 read 0x1  ->  fault: blocked, ABORT, nothing recorded\n');
  });
});

describe('a batch', () => {
  const batch = (...records: unknown[]) => translate('--batch', scratch.lines('batch.jsonl', records), '--json');

  test('an answer does not depend on what was asked before: a TLB entry of another query does not serve', async () => {
    const { lines } = await batch({ device: 1, iova: '0x0' }, { device: 4, iova: '0x0' }, { device: 1, iova: '0x8' });
    expect(lines.map(({ pa, fault }) => pa ?? fault.name)).toEqual(['0x50000000', 'FAKE_2', '0x50000008']);
  });

  test('answers in input order', async () => {
    const { code, lines } = await batch(
      { device: 1, pasid: null, iova: '0x0', access: 'read', privileged: false },
      { device: '0x3', iova: 16, access: 'write' },
      { device: '00:00.1', pasid: 7, iova: '0x2fff', access: 'execute', privileged: true },
    );
    expect(code).toBe(0);
    expect(lines.map(({ device, pasid, pa, access }) => [device, pasid, pa, access])).toEqual([
      [1, null, '0x50000000', 'read'],
      [3, null, '0x10', 'write'],
      [1, 7, '0x50003fff', 'execute'],
    ]);
  });

  test('a fault is recorded as if it were the first, wherever it stands', async () => {
    const fault = { device: 1, iova: '0x4000', access: 'read' };
    const { lines } = await batch(fault, fault, { device: 2, iova: '0x0', access: 'read' }, fault);
    expect(lines.map((line) => line.fault.record)).toEqual([
      '0104000001000000',
      '0104000001000000',
      null,
      '0104000001000000',
    ]);
  });

  test('many lines come out whole and in order', async () => {
    const many = Array.from({ length: 20_000 }, (_, at) => ({ device: 1, iova: `0x${(at & 0xfff).toString(16)}` }));
    const { lines } = await batch(...many);
    expect(lines.length).toBe(many.length);
    expect(lines.every((line, at) => line.pa === `0x${(0x5000_0000 + (at & 0xfff)).toString(16)}`)).toBe(true);
  });

  test('blank lines are no queries, and an empty batch has no answers', async () => {
    const file = scratch.file('blank.jsonl', '\n\n{"device":1,"iova":"0x0"}\r\n\n');
    expect((await translate('--batch', file, '--json')).lines.length).toBe(1);
    expect(await translate('--batch', scratch.file('empty.jsonl', ''), '--json')).toMatchObject({
      code: 0,
      stdout: '',
    });
  });

  test.each([
    ['not JSON', '{"device":1', /batch\.jsonl:3: /],
    ['not an object', '[1]', /batch\.jsonl:3: not a JSON object/],
    ['no device', '{"iova":"0x0"}', /batch\.jsonl:3: device \(absent\) is not a number/],
    ['no iova', '{"device":1}', /batch\.jsonl:3: address \(absent\)/],
    ['a bad PCI address', '{"device":"00:20.0","iova":"0"}', /batch\.jsonl:3: device "00:20\.0"/],
    ['a fraction', '{"device":1.5,"iova":"0x0"}', /batch\.jsonl:3: device 1\.5/],
    ['too wide an address', '{"device":1,"iova":"0x10000000000000000"}', /batch\.jsonl:3: address .*is not in/],
    ['an inexact number', '{"device":1,"iova":18446744073709551615}', /batch\.jsonl:3: address /],
    ['a wide PASID', '{"device":1,"iova":"0x0","pasid":1048576}', /batch\.jsonl:3: PASID 1048576/],
    ['an unknown access', '{"device":1,"iova":"0x0","access":"rw"}', /batch\.jsonl:3: access "rw"/],
    ['a privilege that is no boolean', '{"device":1,"iova":"0x0","privileged":1}', /batch\.jsonl:3: privileged 1/],
  ])('%s on a late line: file and line on stderr, nothing on stdout', async (_, line, message) => {
    const good = '{"device":1,"iova":"0x0","access":"read"}\n';
    const result = await translate('--batch', scratch.file('batch.jsonl', `${good}${good}${line}\n${good}`));
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n').length).toBe(1);
  });
});

describe('bad usage is exit 2, one line, an empty stdout', () => {
  const [memory, source, registers, frame] = fakeDump(scratch) as [string, string, string, string];
  const fake = ['translate', '--vendor', 'fake', '--plugin', FAKE];
  const one = ['--device', '1', '--iova', '0x0'];
  test.each([
    ['no vendor', ['translate', memory, source, registers, frame, ...one], /--vendor/],
    ['unknown vendor', ['translate', '--vendor', 'via', memory, source, registers, frame, ...one], /no vendor 'via'/],
    ['no memory', [...fake, registers, frame, ...one], /--memory/],
    ['no registers', [...fake, memory, source, ...one], /--registers/],
    ['no device', [...fake, memory, source, registers, frame, '--iova', '0'], /--device/],
    ['no iova', [...fake, memory, source, registers, frame, '--device', '1'], /--iova/],
    ['bad iova', [...fake, memory, source, registers, frame, '--device', '1', '--iova', 'x'], /--iova.*'x'/],
    ['bad device', [...fake, memory, source, registers, frame, '--device', '-', '--iova', '0'], /--device/],
    ['bad width', [...fake, memory, source, registers, frame, ...one, '--host-address-width', '53'], /12 … 52/],
    ['both forms', [...fake, memory, source, registers, frame, ...one, '--batch', 'x'], /--batch/],
    ['no such memory', [...fake, memory, 'absent.elf', registers, frame, ...one], /absent\.elf/],
    ['no such registers', [...fake, memory, source, registers, 'absent.bin', ...one], /absent\.bin/],
    ['no such batch', [...fake, memory, source, registers, frame, '--batch', 'absent.jsonl'], /absent\.jsonl/],
    [
      'no such plugin',
      ['translate', '--vendor', 'x', '--plugin', './absent.js', ...one, memory, source, registers, frame],
      /absent\.js/,
    ],
    [
      'a plugin that is none',
      [
        'translate',
        '--vendor',
        'x',
        '--plugin',
        new URL('./run.ts', import.meta.url).pathname,
        ...one,
        memory,
        source,
        registers,
        frame,
      ],
      /exports no/,
    ],
    ['the same vendor twice', [...fake, '--plugin', FAKE, memory, source, registers, frame, ...one], /two vendors/],
    ['unknown option', [...fake, memory, source, registers, frame, ...one, '--frobnicate'], /--frobnicate/],
    ['unknown command', ['transalte'], /transalte/],
    ['no command', [], /name a command/],
  ])('%s', async (_, argv, message) => {
    const result = await run(...argv);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n').length).toBe(1);
  });

  test('a frame that is too short names where it ends', async () => {
    const short = scratch.file('short.bin', new Uint8Array(0x10));
    const result = await run(...fake, memory, source, registers, short, ...one);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(/short\.bin: ends at offset 0x10, the frame needs 0x20 bytes/);
  });

  test('an ELF file that is none names the file', async () => {
    const result = await run(...fake, memory, source.replace(/@.*/, ''), registers, frame, ...one);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(/memory\.raw/);
  });

  test('help is a result', async () => {
    const { code, stdout, stderr } = await run('translate', '--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/--host-address-width/);
  });
});
