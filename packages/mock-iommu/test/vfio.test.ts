/** `vfio_compat_mock_domain`: the type-1 container's calls over a mock domain, which may cut mappings or not. */
import { uapi, vfio } from '@iommukit/iommufd';
import { beforeEach, describe, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { BUFFER_SIZE, Client, P, START } from './support/client.ts';

const CALL = { EXTENSION: 0x3b65, SET_IOMMU: 0x3b66, INFO: 0x3b70, MAP: 0x3b71, UNMAP: 0x3b72 } as const;

describe.each([
  ['type 1', 1n],
  ['type 1 v2', 3n],
] as const)('%s', (_name, version) => {
  let c: Client;
  let ioas: number;

  beforeEach(() => {
    c = new Client();
    ioas = c.ioas();
    c.device(ioas);
    expect(c.errno(uapi.VFIO_IOAS, { op: 1, ioas_id: ioas })).toBe('OK');
    expect(c.ioctl(CALL.SET_IOMMU, version)).toBe('OK');
  });

  const map = (iova: bigint, vaddr: bigint, size: bigint) =>
    c.raw(CALL.MAP, vfio.TYPE1_DMA_MAP.encode({ argsz: 32, flags: 3, iova, vaddr, size }));
  const unmap = (iova: bigint, size: bigint, flags = 0) => {
    const result = c.raw(CALL.UNMAP, vfio.TYPE1_DMA_UNMAP.encode({ argsz: 24, flags, iova, size }));
    const bytes = new Uint8Array(24);
    c.process.read(c.scratch, bytes);
    return result < 0 ? result : vfio.TYPE1_DMA_UNMAP.decode(bytes).size;
  };

  test('only version 1 goes without large entries', () => {
    const { val64 } = c.ok(uapi.OPTION, { option_id: 1, op: 1, object_id: ioas, val64: 3n });
    expect(val64).toBe(version === 1n ? 0n : 1n);
  });

  test('maps and unmaps', () => {
    expect(map(START, c.buffer, BUFFER_SIZE)).toBe(0);
    expect(unmap(START, BUFFER_SIZE)).toBe(BUFFER_SIZE);
    expect(unmap(START, BUFFER_SIZE)).toBe(0n);
    expect(map(START, c.buffer, BUFFER_SIZE)).toBe(0);
    expect(unmap(START, BUFFER_SIZE, 2)).toBe(-22);
    expect(unmap(0n, 0n, 2)).toBe(BUFFER_SIZE);
    for (let i = 0n; i < 16n; i++) expect(map(START + i * P, c.buffer + i * P, P)).toBe(0);
    for (const i of [5n, 0n, 15n, 7n, 1n]) expect(unmap(START + i * P, P)).toBe(P);
  });

  test('a large mapping is cut by version 1 only', () => {
    const size = 4n << 20n;
    const piece = size / 16n;
    expect(map(START, c.process.alloc(Number(size)), size)).toBe(0);
    for (const i of [3n, 0n, 15n, 8n, 2n, 7n, 1n, 14n, 4n, 13n, 5n, 6n, 9n, 12n, 10n, 11n]) {
      expect(unmap(START + i * piece, piece)).toBe(version === 1n ? piece : -2);
    }
    expect(c.checkRefs(c.buffer, P, 0)).toBe('OK');
  });

  test('the information chain is whole or not offered, and stays inside the room given', () => {
    const ask = (argsz: number) => {
      const bytes = new Uint8Array(256).fill(0xaa);
      new DataView(bytes.buffer).setUint32(0, argsz, true);
      expect(c.raw(CALL.INFO, bytes)).toBe(0);
      const out = new Uint8Array(256);
      c.process.read(c.scratch, out);
      expect(out.subarray(argsz).every((byte) => byte === 0xaa)).toBe(true);
      return out;
    };
    const need = new DataView(ask(24).buffer).getUint32(0, true);
    expect(need).toBeGreaterThan(24);
    for (let argsz = 16; argsz < need; argsz++) {
      const view = new DataView(ask(argsz).buffer);
      expect(view.getUint32(4, true)).toBe(3);
      expect(view.getBigUint64(8, true)).not.toBe(0n);
      if (argsz >= 24) expect(view.getUint32(16, true)).toBe(0);
    }
    const view = new DataView(ask(need).buffer);
    const seen: Record<number, number> = {};
    for (let at = view.getUint32(16, true); at !== 0; at = view.getUint32(at + 4, true)) {
      seen[view.getUint16(at, true)] = at;
      expect(view.getUint16(at + 2, true)).toBe(1);
    }
    expect(Object.keys(seen)).toEqual(['1', '3']);
    const ranges = seen[1]!;
    expect(view.getUint32(ranges + 8, true)).toBe(1);
    expect(view.getBigUint64(ranges + 16, true)).toBe(START);
    expect(view.getBigUint64(ranges + 24, true)).toBe(abi.MOCK_APERTURE.last);
  });
});
