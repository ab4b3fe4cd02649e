import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Program, region, sharedBytes } from './support/program.ts';
import { serveMock } from './support/serve.ts';

const [IOAS_ALLOC, DESTROY, MAP, TEST] = [0x3b81, 0x3b80, 0x3b85, 0x3ba0];
const [FAULT_ALLOC, MAP_FILE, CHANGE_PROCESS] = [0x3b8e, 0x3b8f, 0x3b92];
const AT = 0x7ffd_0000_1000n;

let served: Awaited<ReturnType<typeof serveMock>>;
let programs: Program[];
const args = sharedBytes(4096);
const view = new DataView(args.buffer);

beforeEach(async () => {
  served = await serveMock();
  programs = [];
  args.fill(0);
});

afterEach(async () => {
  for (const program of programs) await program.kill();
  await served.close();
});

async function start(pid = 1000, memory = [region(AT, args)]): Promise<Program> {
  const program = await new Program(served.path, pid).ready();
  programs.push(program);
  program.set({ memory });
  return program;
}

/** Writes 32-bit words at the start of the program's structure; pairs [offset, value] for 64-bit ones. */
function put(words: readonly number[], quads: Readonly<Record<number, bigint>> = {}): void {
  args.fill(0);
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word, true);
  for (const [at, value] of Object.entries(quads)) view.setBigUint64(Number(at), value, true);
}

const word = (at: number): number => view.getUint32(at, true);

async function newIoas(program: Program, id = 'iommu'): Promise<number> {
  put([12]);
  expect(await program.ioctl(IOAS_ALLOC, AT, id)).toMatchObject({ ret: 0 });
  return word(8);
}

/** IOMMU_TEST_OP_MOCK_DOMAIN; its own answer. */
async function mockDomain(program: Program, ioas: number) {
  put([72, 2, ioas]);
  return program.ioctl(TEST, AT);
}

function mapWords(ioas: number, address: bigint, length = 4096n): void {
  put([40, 7, ioas, 0], { 16: address, 24: length, 32: 1n << 24n });
}

async function pinnedKib(program: Program, pid: number): Promise<bigint> {
  expect(await program.call('iommu', 8, [BigInt(pid), AT + 1024n])).toMatchObject({ ret: 0 });
  return view.getBigUint64(1024, true);
}

describe('transactions', () => {
  it('allocate an IOAS as in the example of the protocol, one ask for the reply', async () => {
    const program = await start();
    expect(await program.open()).toMatchObject({ ret: 0, asks: [] });
    put([12]);
    const prefetched = new Uint8Array(args.slice(0, 128));
    expect(await program.call('iommu', 2, [BigInt(IOAS_ALLOC), AT], prefetched)).toMatchObject({
      ret: 0,
      asks: ['POKE'],
    });
    expect(word(8)).toBe(1);
  });

  it('ask for memory that was not prefetched, and report a fault only then', async () => {
    const program = await start();
    await program.open();
    put([12]);
    expect((await program.ioctl(IOAS_ALLOC, AT)).asks[0]).toBe('PEEK');
    const { asks, ...fault } = await program.ioctl(IOAS_ALLOC, 0n);
    expect([fault.ret, fault.err, new Set(asks)]).toEqual([-1, 14, new Set(['PEEK'])]);
    expect(await program.ioctl(IOAS_ALLOC, (1n << 64n) - 2n)).toMatchObject({ ret: -1, err: 14 });
    expect(await program.ioctl(0x3bff, 0n)).toMatchObject({ ret: -1, err: 25, asks: [] });
  });

  it('undo an object whose id cannot be told', async () => {
    const program = await start(1000, [region(AT, args, { prot: 1 })]);
    await program.open();
    put([12]);
    expect(await program.ioctl(IOAS_ALLOC, AT)).toMatchObject({ ret: -1, err: 14 });
    put([8, 1]);
    expect(await program.ioctl(DESTROY, AT)).toMatchObject({ ret: -1, err: 2 });
  });

  it('pin by identity, charge the process, and let go at the end of file', async () => {
    const memory = sharedBytes(8192);
    const program = await start(1000, [region(AT, args), region(0x10_0000n, memory)]);
    await program.open();
    const ioas = await newIoas(program);
    await mockDomain(program, ioas);
    mapWords(ioas, 0x10_0000n, 8192n);
    expect((await program.ioctl(MAP, AT)).asks).toContain('PAGES');
    expect(served.host.pins.pages).toBe(2);
    expect(await pinnedKib(program, 1000)).toBe(8n);
    expect(await pinnedKib(program, 1001)).toBe(0n);
    program.drop('iommu');
    const other = await start(1001);
    await other.open();
    expect([served.host.pins.pages, served.files.iommu.system.devices.length]).toEqual([0, 0]);
  });

  it('finish the release before CLOSE returns, and take nothing after it', async () => {
    const program = await start();
    await program.open();
    await mockDomain(program, await newIoas(program));
    expect(served.files.iommu.system.devices).toHaveLength(1);
    expect(await program.call('iommu', 5, [])).toMatchObject({ ret: 0 });
    expect(served.files.iommu.system.devices).toHaveLength(0);
    await expect(program.ioctl(IOAS_ALLOC, AT)).rejects.toThrow('was closed');
    expect(served.log.join()).toMatch('after the file was closed');
  });

  it('cannot pin what a process that is gone has mapped', async () => {
    const program = await start();
    await program.open();
    const ioas = await newIoas(program);
    mapWords(ioas, 0x10_0000n);
    program.send('iommu', mapRequest(2000));
    expect(await program.next('iommu', 'return')).toMatchObject({ ret: 0 });
    program.set({ gone: [2000], memory: [region(AT, args), region(0x10_0000n, sharedBytes(4096))] });
    expect(await mockDomain(program, ioas)).toMatchObject({ ret: -1, err: 14 });
  });

  it('hold a memory file to its size when it is pinned', async () => {
    const program = await start();
    const info = Buffer.alloc(40);
    info.writeUInt32LE(2, 0);
    info.writeBigUInt64LE(77n, 24);
    info.writeBigUInt64LE(8192n, 32);
    program.set({ files: new Map([[5, info]]) });
    await program.open();
    const ioas = await newIoas(program);
    await mockDomain(program, ioas);
    const map = (start: bigint) => {
      put([40, 7, ioas, 5], { 16: start, 24: 4096n, 32: (1n << 24n) + start });
      return program.ioctl(MAP_FILE, AT);
    };
    expect(await map(4096n)).toMatchObject({ ret: 0 });
    expect(await map(8192n)).toMatchObject({ ret: -1, err: 22 });
    put([40, 7, ioas, 6], { 24: 4096n, 32: 1n << 25n });
    expect(await program.ioctl(MAP_FILE, AT)).toMatchObject({ ret: -1, err: 9 });
    put([8]);
    expect(await program.ioctl(CHANGE_PROCESS, AT)).toMatchObject({ ret: 0 });
    expect(await pinnedKib(program, 1000)).toBe(4n);
  });
});

const mapRequest = (pid: number): Uint8Array => {
  const bytes = Buffer.alloc(48);
  for (const [i, value] of [40, 2, pid, pid].entries()) bytes.writeUInt32LE(value, i * 4);
  bytes.writeBigUInt64LE(BigInt(MAP), 16);
  bytes.writeBigUInt64LE(AT, 24);
  return bytes;
};

describe('files that commands make', () => {
  async function faultQueue(program: Program): Promise<string> {
    put([16]);
    expect(await program.ioctl(FAULT_ALLOC, AT)).toMatchObject({ ret: 0 });
    return `fd${word(12)}`;
  }

  /** A nested HWPT with that queue, and a page request through it. */
  async function pageRequest(program: Program, faultId: number): Promise<void> {
    const ioas = await newIoas(program);
    await mockDomain(program, ioas);
    const [stdev, device] = [word(16), word(24)];
    put([48, 4, device, ioas, 0, 0, 0, 0, 0, 0, faultId]);
    expect(await program.ioctl(0x3b89, AT)).toMatchObject({ ret: 0 });
    const hwpt = word(16);
    put([72, 10, stdev, 0, hwpt]);
    expect(await program.ioctl(TEST, AT)).toMatchObject({ ret: 0 });
    put([72, 15, 0, 0, device, 0, 1, 1], { 32: 0x5000n });
    expect(await program.ioctl(TEST, AT)).toMatchObject({ ret: 0 });
  }

  it('are connections of their own, readable when READY says so', async () => {
    const program = await start();
    await program.open();
    const queue = await faultQueue(program);
    const faultId = word(8);
    await pageRequest(program, faultId);
    await program.next(queue, 'ready');
    expect(program.seen('iommu', 'ready')).toBe(false);
    expect(await program.call(queue, 3, [AT, 8n])).toMatchObject({ ret: -1, err: 29 });
    // The READY before was void with that RETURN; the queue still has its group.
    await program.next(queue, 'ready');
    expect(await program.call(queue, 3, [AT, 40n])).toMatchObject({ ret: 40, asks: ['POKE'] });
    expect(program.seen(queue, 'ready')).toBe(false);
    expect(await program.call(queue, 3, [AT, 40n])).toMatchObject({ ret: 0 });
  });

  it('keep the context alive that made them', async () => {
    const program = await start();
    await program.open();
    const queue = await faultQueue(program);
    await mockDomain(program, await newIoas(program));
    await program.call('iommu', 5, []);
    expect(served.files.iommu.system.devices).toHaveLength(1);
    await program.call(queue, 5, []);
    expect(served.files.iommu.system.devices).toHaveLength(0);
  });

  it('come to nothing when the program has no descriptor left', async () => {
    const program = await start();
    await program.open();
    program.set({ refuseFds: 24 });
    put([16]);
    expect(await program.ioctl(FAULT_ALLOC, AT)).toMatchObject({ ret: -1, err: 24 });
    expect(served.host.files.size).toBe(0);
    expect(await newIoas(program)).toBe(1);
  });
});

describe('programs that do not keep to the protocol', () => {
  it.each([
    ['an unknown type', Buffer.from('00000000ff000000', 'hex'), 'unknown type 0xff'],
    ['a huge frame', Buffer.from('ffffffff02000000', 'hex'), '4294967295 bytes'],
    ['a short request', Buffer.from('0400000002000000000000ff', 'hex'), 'request of 4 bytes'],
    ['a call before HELLO', Buffer.concat([Buffer.from('2800000002000000', 'hex'), Buffer.alloc(40)]), 'out of order'],
    ['another magic', Buffer.concat([Buffer.from('2800000001000000', 'hex'), Buffer.alloc(40)]), 'not a client'],
    [
      'a reply to nothing',
      Buffer.concat([Buffer.from('0800000040000000', 'hex'), Buffer.alloc(8)]),
      'reply to nothing',
    ],
  ])('%s: their connection is closed with a message, others go on', async (_name, bytes, message) => {
    const good = await start();
    await good.open();
    const bad = await start(2000);
    bad.connect('x');
    bad.send('x', bytes);
    await bad.next('x', 'closed');
    expect(served.log).toHaveLength(1);
    expect(served.log[0]).toMatch(message);
    expect(await newIoas(good)).toBe(1);
  });

  it('a token nobody gave out', async () => {
    const bad = await start();
    bad.connect('x');
    bad.send('x', helloWithToken(99n));
    await bad.next('x', 'closed');
    expect(served.log[0]).toMatch('a token nobody gave out');
  });

  it('one that is silent inside an ask loses its connection; the others wait no longer than that', async () => {
    await served.close();
    served = await serveMock(50);
    const bad = await start();
    await bad.open();
    bad.set({ silent: true });
    bad.send('iommu', mapRequest(1000));
    await bad.next('iommu', 'closed');
    expect(served.log[0]).toMatch('does not answer');
    const good = await start(2000);
    await good.open();
    expect(await newIoas(good)).toBe(1);
  });

  it('one that leaves inside an ask leaves nothing behind', async () => {
    const bad = await start();
    await bad.open();
    await mockDomain(bad, await newIoas(bad));
    bad.set({ silent: true });
    bad.send('iommu', mapRequest(1000));
    await bad.kill();
    const good = await start(2000);
    await good.open();
    expect(served.files.iommu.system.devices).toHaveLength(0);
  });
});

function helloWithToken(token: bigint): Uint8Array {
  const bytes = Buffer.alloc(48);
  bytes.writeUInt32LE(40, 0);
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(0x1_4446_4f49n, 16);
  bytes.writeBigUInt64LE(token, 24);
  return bytes;
}
