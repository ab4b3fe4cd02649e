import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newFdFrame, pagesFrame, peekFrame, pokeFrame, READY_FRAME, returnFrame } from '../src/wire/answers.ts';
import { FrameBuffer } from '../src/wire/frames.ts';
import { ProtocolError } from '../src/wire/protocol.ts';
import { decodeExtents, decodeFileInfo } from '../src/wire/records.ts';
import { decodeReply, decodeRequest } from '../src/wire/requests.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const numRuns = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);

/** Bytes by hand from the protocol document: §2 to §6, and the example of §8. */
describe('frames, bit by bit', () => {
  it.each([
    [
      'POKE of §8',
      pokeFrame(0, 0x7ffd_0000_1010n, hex('0c000000 00000000 01000000')),
      '1c000000 82000000 00000000 0c000000 10100000fd7f0000 0c0000000000000001000000',
    ],
    ['RETURN 0', returnFrame(0), '10000000 80000000 0000000000000000 00000000 00000000'],
    ['RETURN of an errno', returnFrame(-14), '10000000 80000000 ffffffffffffffff 0e000000 00000000'],
    ['RETURN of a value', returnFrame(40), '10000000 80000000 2800000000000000 00000000 00000000'],
    ['PEEK', peekFrame(77, 0x10n, 3), '10000000 81000000 4d000000 03000000 1000000000000000'],
    ['NEWFD', newFdFrame(0x80000, 0x1122n), '10000000 83000000 00000800 00000000 2211000000000000'],
    ['PAGES', pagesFrame(5, 0x1000n, 0x2000n), '18000000 84000000 05000000 00000000 0010000000000000 0020000000000000'],
    ['READY', READY_FRAME, '00000000 8f000000'],
  ])('%s', (_name, bytes, wanted) => {
    expect(Buffer.from(bytes).toString('hex')).toBe(wanted.replaceAll(' ', ''));
  });

  it('reads the request of §8', () => {
    const buffer = new FrameBuffer();
    buffer.push(
      hex(`30000000 02000000 e8030000 e9030000 813b000000000000 10100000fd7f0000${'00'.repeat(16)} 0c00000000000000`),
    );
    const request = decodeRequest(buffer.next()!);
    expect(request).toMatchObject({ type: 2, pid: 1000, tid: 1001, a0: 0x3b81n, a1: 0x7ffd_0000_1010n, a2: 0n });
    expect(Buffer.from(request.prefetch).toString('hex')).toBe('0c00000000000000');
  });

  it('reads replies and their records', () => {
    const buffer = new FrameBuffer();
    buffer.push(hex('08000000 40000000 0e000000 02000000'));
    expect(decodeReply(buffer.next()!)).toMatchObject({ err: 14, val: 2 });
    const extent = hex(
      '0010000000000000 0020000000000000 0100000008000000 0900000000000000 0030000000000000 0b000000 00000000',
    );
    expect(decodeExtents(extent, 1)).toEqual([
      { address: 0x1000n, length: 0x2000n, dev: 0x8_0000_0001n, ino: 9n, offset: 0x3000n, prot: 11 },
    ]);
    const info = hex('02000000 00000000 0000000000000000 0100000000000000 0500000000000000 0010000000000000');
    expect(decodeFileInfo(info)).toEqual({ kind: 2, token: 0n, dev: 1n, ino: 5n, size: 0x1000n });
  });

  it.each([
    ['an unknown type', '00000000 09000000'],
    ['a request longer than its prefetch may be', 'a9000000 02000000'],
    ['a length that never ends', 'ffffffff 40000000'],
  ])('refuses %s before its body is there', (_name, bytes) => {
    const buffer = new FrameBuffer();
    buffer.push(hex(bytes));
    expect(() => buffer.next()).toThrow(ProtocolError);
  });

  it('takes the same frames from any pieces of a stream', () => {
    const frame = fc
      .uint8Array({ maxLength: 168 })
      .map((body) => Buffer.concat([Buffer.from([body.length, 0, 0, 0, 2, 0, 0, 0]), body]));
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(64), { minLength: 1 }), (frames, cuts) => {
        const stream = Buffer.concat(frames);
        const buffer = new FrameBuffer();
        const got: Buffer[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const end = Math.min(stream.length, at + 1 + cuts[i % cuts.length]!);
          if (i % 2 === 0) buffer.push(stream.subarray(at, end));
          else buffer.commit(stream.copy(buffer.room(), 0, at, end));
          at = end;
          for (let next = buffer.next(); next; next = buffer.next()) got.push(Buffer.from(next.body));
        }
        expect(got).toEqual(frames.map((each) => each.subarray(8)));
        expect(buffer.length).toBe(0);
      }),
      { numRuns: Math.min(numRuns, 5000) },
    );
  });
});
