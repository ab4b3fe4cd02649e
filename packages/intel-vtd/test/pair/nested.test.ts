import { ALLOC, PROT } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { vtdGuestKit } from '../../src/guest/guest-kit.ts';
import { board, guestMemory, UNITS } from './board.ts';

const RW = PROT.READ | PROT.WRITE;
const OFFSET = 0x1_0000_0000n;

describe.each(['full', 'full, caching mode'])('a guest over %s', (name) => {
  function guest() {
    const b = board(UNITS[name]!);
    const { device, endpoint } = b.device(0x10, { pasidBits: 8 });
    const parent = device.allocPaging(ALLOC.NEST_PARENT);
    parent.map(0n, OFFSET, 0x4000_0000n, RW);
    const memory = guestMemory(b, OFFSET);
    const stage1 = vtdGuestKit.createStage1(memory, 0n);
    const nested = parent.allocNested(device, stage1.data);
    memory.write64(0x5000n, 0x11n);
    memory.write64(0x6000n, 0x22n);
    return { b, device, endpoint, parent, memory, stage1, nested };
  }

  it('translates twice; a page the guest moved is stale until it says so', () => {
    const { device, endpoint, stage1, nested } = guest();
    stage1.map(0x7000n, 0x5000n, true);
    device.attach(nested);
    expect(endpoint.read(0x7000n, 1).data[0]).toBe(0x11);
    stage1.map(0x7000n, 0x6000n, true);
    expect(endpoint.read(0x7000n, 1).data[0]).toBe(0x11);
    expect(nested.invalidate(stage1.invalidatePage(0x7000n))).toEqual({ done: 1, error: null });
    expect(endpoint.read(0x7000n, 1).data[0]).toBe(0x22);
    stage1.unmap(0x7000n);
    nested.invalidate(stage1.invalidateAll());
    expect(endpoint.read(0x7000n, 1).ok).toBe(false);
  });

  it('an unmap in the parent reaches what the guest mapped', () => {
    const { b, device, endpoint, parent, stage1, nested } = guest();
    stage1.map(0x7000n, 0x3000_0000n, true);
    device.attach(nested);
    expect(endpoint.read(0x7000n, 1).ok).toBe(true);
    parent.unmap(0n, 0x4000_0000n);
    expect(endpoint.read(0x7000n, 1).ok).toBe(false);
    parent.map(0n, OFFSET, 0x4000_0000n, RW);
    expect(endpoint.read(0x7000n, 1).ok).toBe(true);
    device.detach();
    nested.free();
    parent.free();
    expect(b.down()).toBe(0);
  });

  it('on a PASID, beside the parent on the device itself', () => {
    const { device, endpoint, parent, stage1, nested } = guest();
    stage1.map(0x7000n, 0x5000n, true);
    device.attach(parent);
    device.attach(nested, 3);
    expect(endpoint.read(0x5000n, 1).data[0]).toBe(0x11);
    expect(endpoint.read(0x7000n, 1, { pasid: 3 }).data[0]).toBe(0x11);
    device.detach(3);
    expect(endpoint.read(0x7000n, 1, { pasid: 3 }).ok).toBe(false);
    expect(endpoint.read(0x5000n, 1).ok).toBe(true);
  });

  it('logs what a guest writes, in the parent', () => {
    const { b, device, endpoint, stage1, memory } = guest();
    const parent = device.allocPaging(ALLOC.NEST_PARENT | ALLOC.DIRTY_TRACKING);
    for (let gpa = 0n; gpa < 0x20_0000n; gpa += 0x1000n) parent.map(gpa, OFFSET + gpa, 0x1000n, RW);
    stage1.map(0x7000n, 0x5000n, true);
    const nested = parent.allocNested(device, stage1.data);
    device.attach(nested);
    parent.setDirtyTracking(true);
    memory.write64(0x5000n, 0n);
    expect(endpoint.write(0x7000n, Uint8Array.of(1)).ok).toBe(true);
    const dirty = parent.readDirty(0n, 0x10_0000n);
    expect(dirty).toEqual([{ iova: 0x5000n, size: 0x1000n }]);
    expect(b.faults).toEqual([]);
  });
});
