import { PROT } from '@iommukit/core';
import { type FormatConfig, pageTableCases } from '@iommukit/page-table/testing';
import { describe, expect, test } from 'vitest';
import { stage1Geometry, stage2Geometry } from '../../src/driver/geometry.ts';
import { Stage1Format, Stage2Format } from '../../src/driver/pte-format.ts';

const { READ, WRITE, CACHE, NOEXEC, MMIO, PRIV } = PROT;
const RW = READ | WRITE;

/** Entries of the captures are marked; the others are put together from the bit positions of the Arm ARM, D8.3. */
const stage1 = (granule: number, input: number, output: number, dirty = false): FormatConfig => ({
  name: `stage 1, granule 2^${granule}, ${input} to ${output} bits${dirty ? ', dirty' : ''}`,
  create: () => new Stage1Format(stage1Geometry(granule, input), output, dirty),
  prot: RW | CACHE,
  badProt: CACHE,
  literals: [],
});

const stage2 = (granule: number, bits: number, fwb = false): FormatConfig => ({
  name: `stage 2, granule 2^${granule}, ${bits} bits${fwb ? ', FWB' : ''}`,
  create: () => new Stage2Format(stage2Geometry(granule, bits), bits, fwb),
  prot: RW | CACHE,
  badProt: CACHE | NOEXEC,
  literals: [],
});

const page = (title: string, prot: number, pa: bigint, raw: bigint, pageSizeLg2 = 12) => ({
  title,
  iova: 0n,
  pa,
  pageSizeLg2,
  prot,
  raw,
});

const configs: readonly FormatConfig[] = [
  {
    ...stage1(12, 48, 44),
    literals: [
      page('capture: cached read-write', RW | CACHE, 0x447e_0000n, 0x447e_0f47n),
      page('capture: cached read-only', READ | CACHE, 0x4400_0000n, 0x4400_0fc7n),
      page('capture: doorbell', WRITE | NOEXEC | MMIO, 0x809_0000n, 0x0060_0000_0809_0e4bn),
      page('write-only can be read too', WRITE | CACHE, 0x1000n, 0x1f47n),
      page('privileged', RW | CACHE | PRIV, 0x1000n, 0x1f07n),
      page('not cached: NC, outer shareable', RW, 0x1000n, 0x1e43n),
      page('a block of 2M', RW | CACHE, 0x4000_0000n, 0x4000_0f45n, 21),
      page('a block of 1G', READ | CACHE, 0xfff_c000_0000n, 0xfff_c000_0fc5n, 30),
    ],
  },
  stage1(12, 48, 48),
  {
    ...stage1(12, 48, 48, true),
    literals: [
      page('writable: DBM', RW | CACHE, 0x1000n, 0x0008_0000_0000_1f47n),
      page('read-only: no DBM', READ | CACHE, 0x1000n, 0x1fc7n),
    ],
  },
  { ...stage1(14, 48, 48), literals: [page('16K', RW | CACHE, 0xffff_ffff_c000n, 0xffff_ffff_cf47n, 14)] },
  { ...stage1(16, 48, 48), literals: [page('64K', RW | CACHE, 0xffff_ffff_0000n, 0xffff_ffff_0f47n, 16)] },
  {
    ...stage1(16, 52, 52),
    literals: [
      page('64K, PA bits 51:48 in 15:12', RW | CACHE, 0xa_ffff_ffff_0000n, 0xffff_ffff_af47n, 16),
      page('512M', RW | CACHE, 0x9_2000_0000_0000n, 0x2000_0000_9f45n, 29),
    ],
  },
  {
    ...stage2(12, 44),
    literals: [
      page('capture: cached read-write', RW | CACHE, 0x435a_e000n, 0x435a_e7ffn),
      page('capture: cached read-only', READ | CACHE, 0x4866_7000n, 0x4866_777fn),
      page('capture: cached write-only', WRITE | CACHE, 0x43dc_a000n, 0x43dc_a7bfn),
      page(
        'device, write-only; XN 0b10, where the kernel writes 0b11',
        WRITE | NOEXEC | MMIO,
        0x809_0000n,
        0x0040_0000_0809_0687n,
      ),
      page('not cached', RW, 0x1000n, 0x16d7n),
      page('a block of 2M', READ | CACHE, 0x20_0000n, 0x20_077dn, 21),
    ],
  },
  { ...stage2(12, 44, true), literals: [page('forced write-back', RW | CACHE, 0x1000n, 0x17dbn)] },
  stage2(12, 32),
  stage2(12, 40),
  stage2(12, 42),
  stage2(12, 48),
  stage2(14, 40),
  stage2(14, 48),
  stage2(16, 42),
  stage2(16, 48),
  stage2(16, 52),
];

describe.each(configs)('$name', (config) => {
  test.each(pageTableCases)('$id', ({ run }) => run(config));
});

describe('stage-2 geometry (Arm ARM D8.2.2; IHI 0070 5.2, S2SL0)', () => {
  test.each([
    // granule, bits, start level, tables side by side, S2SL0
    [12, 32, 2, 4, 0],
    [12, 36, 1, 1, 1],
    [12, 40, 1, 2, 1],
    [12, 42, 1, 8, 1],
    [12, 44, 0, 1, 2],
    [12, 48, 0, 1, 2],
    [14, 40, 2, 16, 1],
    [14, 44, 1, 1, 2],
    [14, 48, 1, 2, 2],
    [16, 42, 2, 1, 1],
    [16, 44, 2, 4, 1],
    [16, 48, 1, 1, 2],
    [16, 52, 1, 1, 2],
  ])('2^%i granule, %i bits: level %i, %i tables, S2SL0 %i', (granule, bits, start, tables, sl0) => {
    const shape = stage2Geometry(granule, bits);
    const concatenated = Math.max(1, 2 ** (shape.rootIndexBits - (granule - 3)));
    expect([4 - shape.levels, concatenated, shape.sl0]).toEqual([start, tables, sl0]);
  });
});
