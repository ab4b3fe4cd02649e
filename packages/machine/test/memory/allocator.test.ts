import { isIommuError } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { PageAllocator, SparseMemory } from '../../src/index.ts';

function errnoOf(run: () => void): string {
  try {
    run();
  } catch (error) {
    return isIommuError(error) ? error.errno : String(error);
  }
  return 'nothing thrown';
}

describe('PageAllocator', () => {
  test('aligns to the rounded size, or as asked', () => {
    const pages = new PageAllocator(new SparseMemory(), 0x1000n, 0xf_ffffn);
    expect(pages.alloc(1) % 4096).toBe(0);
    expect(pages.alloc(0x3000) % 0x4000).toBe(0);
    expect(pages.alloc(0x1000, 0x1_0000) % 0x1_0000).toBe(0);
    expect(pages.livePages).toBe(5);
  });

  test('gives the last freed page out first, zeroed', () => {
    const memory = new SparseMemory();
    const pages = new PageAllocator(memory, 0x1000n, 0xf_ffffn);
    const pa = pages.alloc(4096);
    memory.write64(0, pa + 0xff8, -1, -1);
    pages.free(pa);
    expect(pages.alloc(4096)).toBe(pa);
    memory.read64(0, pa + 0xff8);
    expect([memory.hi, memory.lo]).toEqual([0, 0]);
  });

  test('joins freed pages again before it gives up', () => {
    const pages = new PageAllocator(new SparseMemory(), 0x1_0000n, 0x1_ffffn);
    const all = Array.from({ length: 16 }, () => pages.alloc(4096));
    expect(errnoOf(() => pages.alloc(1))).toBe('ENOMEM');
    for (const pa of all) pages.free(pa);
    expect(pages.alloc(0x1_0000)).toBe(0x1_0000);
    expect(pages.livePages).toBe(16);
  });

  test('fails the nth on request, once', () => {
    const pages = new PageAllocator(new SparseMemory(), 0n, 0xf_ffffn);
    pages.failNth(2);
    pages.alloc(1);
    expect(errnoOf(() => pages.alloc(1))).toBe('ENOMEM');
    pages.alloc(1);
    expect(pages.livePages).toBe(2);
    pages.failNth(1);
    pages.failNth(null);
    pages.alloc(1);
  });

  test('a double free and a foreign free are bugs, not errno', () => {
    const pages = new PageAllocator(new SparseMemory(), 0n, 0xf_ffffn);
    const pa = pages.alloc(0x2000);
    expect(errnoOf(() => pages.free(pa + 0x1000))).toMatch(/not allocated/);
    pages.free(pa);
    expect(errnoOf(() => pages.free(pa))).toMatch(/not allocated/);
  });

  test('memory that does not answer cannot be allocated', () => {
    const memory = new SparseMemory([{ start: 0n, last: 0xfffn }]);
    const pages = new PageAllocator(memory, 0n, 0x1fffn);
    pages.alloc(1);
    expect(errnoOf(() => pages.alloc(1))).toBe('ENOMEM');
    expect(pages.livePages).toBe(1);
  });
});
