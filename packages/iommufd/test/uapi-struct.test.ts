import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { COMMANDS, commandTable, Struct, structTable, u32, u64, uapi } from '../src/index.ts';

/** Number, `sizeof` and smallest size, from the published header: written down by hand. */
const TABLE: readonly [number, string, number, number][] = [
  [0x80, 'IOMMU_DESTROY', 8, 8],
  [0x81, 'IOMMU_IOAS_ALLOC', 12, 12],
  [0x82, 'IOMMU_IOAS_ALLOW_IOVAS', 24, 24],
  [0x83, 'IOMMU_IOAS_COPY', 40, 40],
  [0x84, 'IOMMU_IOAS_IOVA_RANGES', 32, 32],
  [0x85, 'IOMMU_IOAS_MAP', 40, 40],
  [0x86, 'IOMMU_IOAS_UNMAP', 24, 24],
  [0x87, 'IOMMU_OPTION', 24, 24],
  [0x88, 'IOMMU_VFIO_IOAS', 12, 12],
  [0x89, 'IOMMU_HWPT_ALLOC', 48, 24],
  [0x8a, 'IOMMU_GET_HW_INFO', 40, 32],
  [0x8b, 'IOMMU_HWPT_SET_DIRTY_TRACKING', 16, 16],
  [0x8c, 'IOMMU_HWPT_GET_DIRTY_BITMAP', 48, 48],
  [0x8d, 'IOMMU_HWPT_INVALIDATE', 32, 32],
  [0x8e, 'IOMMU_FAULT_QUEUE_ALLOC', 16, 16],
  [0x8f, 'IOMMU_IOAS_MAP_FILE', 40, 40],
  [0x90, 'IOMMU_VIOMMU_ALLOC', 40, 24],
  [0x91, 'IOMMU_VDEVICE_ALLOC', 24, 24],
  [0x92, 'IOMMU_IOAS_CHANGE_PROCESS', 8, 8],
  [0x93, 'IOMMU_VEVENTQ_ALLOC', 32, 28],
  [0x94, 'IOMMU_HW_QUEUE_ALLOC', 40, 40],
];

test('21 commands with the numbers and sizes of the header', () => {
  expect(COMMANDS.map(({ number, name, struct, min }) => [number, name, struct.size, min])).toEqual(TABLE);
  for (const { number, request } of COMMANDS) expect(request).toBe(0x3b00 + number);
});

test.each([
  // Bytes as a C program on a 64-bit little-endian host has them in memory.
  [
    uapi.IOAS_MAP,
    { flags: 7, ioas_id: 1, user_va: 0x7f00_1234_5000n, length: 0x2000n, iova: 0x4000_0000n },
    '28000000 07000000 01000000 00000000 005034120 07f0000 0020000000000000 0000004000000000',
  ],
  [
    uapi.HWPT_ALLOC,
    {
      flags: 4,
      dev_id: 3,
      pt_id: 2,
      out_hwpt_id: 9,
      data_type: 2,
      data_len: 16,
      data_uptr: 0x1122_3344_5566_7788n,
      fault_id: 5,
    },
    '30000000 04000000 03000000 02000000 09000000 00000000 02000000 10000000 8877665544332211 05000000 00000000',
  ],
  [
    uapi.GET_HW_INFO,
    {
      flags: 1,
      dev_id: 3,
      data_len: 40,
      data_uptr: 0x1000n,
      out_data_type: 2,
      out_max_pasid_log2: 20,
      out_capabilities: 9n,
    },
    '28000000 01000000 03000000 28000000 0010000000000000 02000000 14 00 00 00 0900000000000000',
  ],
  [
    uapi.HWPT_INVALIDATE,
    { hwpt_id: 4, data_uptr: 0x1000n, data_type: 1, entry_len: 16, entry_num: 3 },
    '20000000 04000000 0010000000000000 01000000 10000000 03000000 00000000',
  ],
  [
    uapi.IOAS_MAP_FILE,
    { flags: 6, ioas_id: 1, fd: -1, start: 0x1000n, length: 0x2000n, iova: 1n },
    '28000000 06000000 01000000 ffffffff 0010000000000000 0020000000000000 0100000000000000',
  ],
  [
    uapi.VIOMMU_ALLOC,
    { type: 1, dev_id: 2, hwpt_id: 3, out_viommu_id: 4, data_len: 5, data_uptr: 6n },
    '28000000 00000000 01000000 02000000 03000000 04000000 05000000 00000000 0600000000000000',
  ],
  [
    uapi.VEVENTQ_ALLOC,
    { viommu_id: 1, type: 2, veventq_depth: 3, out_veventq_id: 4, out_veventq_fd: 5 },
    '20000000 00000000 01000000 02000000 03000000 04000000 05000000 00000000',
  ],
  [
    uapi.HW_QUEUE_ALLOC,
    { viommu_id: 1, type: 2, index: 3, out_hw_queue_id: 4, nesting_parent_iova: 5n, length: 6n },
    '28000000 00000000 01000000 02000000 03000000 04000000 0500000000000000 0600000000000000',
  ],
  [
    uapi.HWPT_GET_DIRTY_BITMAP,
    { hwpt_id: 1, flags: 1, iova: 0x1000n, length: 0x2000n, page_size: 0x1000n, data: 0x5000n },
    '30000000 01000000 01000000 00000000 0010000000000000 0020000000000000 0010000000000000 0050000000000000',
  ],
  [
    uapi.OPTION,
    { option_id: 1, op: 1, object_id: 7, val64: 1n },
    '18000000 01000000 0100 0000 07000000 0100000000000000',
  ],
  [
    uapi.IOAS_COPY,
    { flags: 7, dst_ioas_id: 1, src_ioas_id: 2, length: 3n, dst_iova: 4n, src_iova: 5n },
    '28000000 07000000 01000000 02000000 0300000000000000 0400000000000000 0500000000000000',
  ],
  [
    uapi.VDEVICE_ALLOC,
    { viommu_id: 1, dev_id: 2, out_vdevice_id: 3, virt_id: 0xffff_ffff_ffff_fffen },
    '18000000 01000000 02000000 03000000 feffffffffffffff',
  ],
] as const)('%o', (struct, values, hex) => {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  expect(Buffer.from((struct as Struct).encode(values as never)).toString('hex')).toBe(bytes.toString('hex'));
  expect((struct as Struct).decode(bytes)).toMatchObject(values);
});

test('a declaration with a mistake in it is refused', () => {
  expect(() => new Struct('overlap', 16, { a: u32(0), b: u32(2) })).toThrow(/overlaps|aligned/);
  expect(() => new Struct('misaligned', 16, { a: u64(4) })).toThrow(/aligned/);
  expect(() => new Struct('long', 8, { a: u64(8) })).toThrow(/longer/);
});

test('the README shows the table as it is', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  expect(readme).toContain(commandTable(COMMANDS));
  expect(structTable(uapi.DESTROY)).toBe(
    '| offset | type | field |\n| --- | --- | --- |\n| 0 | u32 | size |\n| 4 | u32 | id |',
  );
});
