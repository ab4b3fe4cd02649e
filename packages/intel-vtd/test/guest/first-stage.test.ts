import type { GuestMemory } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { vtdGuestKit } from '../../src/guest/guest-kit.ts';

function memory(): GuestMemory & { words: Map<bigint, bigint> } {
  const words = new Map<bigint, bigint>();
  let next = 0x10_0000n;
  return {
    words,
    alloc: (bytes) => {
      const at = next;
      next += BigInt(bytes);
      return at;
    },
    write64: (gpa, value) => void words.set(gpa, value),
    read64: (gpa) => words.get(gpa) ?? 0n,
  };
}

describe('a guest first stage', () => {
  it('is four levels of x86-64 entries, accessed and dirty in advance', () => {
    const guest = memory();
    const stage = vtdGuestKit.createStage1(guest, 0n);
    stage.map(0x7fff_ffff_f123n, 0x1234_5000n, true);
    stage.map(0x7fff_ffff_e000n, 0x1234_6000n, false);
    // root 100000h, entry 255; then 511 each; leaves 511 and 510
    expect([...guest.words].map(([at, word]) => [at.toString(16), word.toString(16)])).toEqual([
      ['1007f8', '101027'],
      ['101ff8', '102027'],
      ['102ff8', '103027'],
      ['103ff8', '12345067'],
      ['103ff0', '12346025'],
    ]);
    stage.unmap(0x7fff_ffff_f000n);
    stage.unmap(0x1000n);
    expect(guest.words.get(0x103ff8n)).toBe(0n);
  });

  it('hands over flags 0, the root, 48 bits', () => {
    const stage = vtdGuestKit.createStage1(memory(), 0n);
    expect(stage.data.type).toBe(1);
    expect(Buffer.from(stage.data.bytes).toString('hex')).toBe('000000000000000000001000000000003000000000000000');
  });

  it('invalidates one page with the leaf flag, and everything as ~0 pages from 0', () => {
    const stage = vtdGuestKit.createStage1(memory(), 0n);
    const page = stage.invalidatePage(0x5123n);
    expect([page.type, page.entryLength, page.entryCount]).toEqual([0, 24, 1]);
    expect(Buffer.from(page.bytes).toString('hex')).toBe('005000000000000001000000000000000100000000000000');
    const all = Buffer.from(stage.invalidateAll().bytes).toString('hex');
    expect(all).toBe(`${'00'.repeat(8)}${'ff'.repeat(8)}${'00'.repeat(8)}`);
  });
});
