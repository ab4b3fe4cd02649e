import { ALLOC, PROT } from '@iommukit/core';
import type { Schedule } from '@iommukit/machine';
import { describe, expect, it } from 'vitest';
import { type Board, board, UNITS } from './board.ts';

const RW = PROT.READ | PROT.WRITE;
const PA = 0x8000_0000n;
const schedules: readonly Schedule[] = ['at-once', { afterPolls: 40 }, { seed: 7 }];
const cases = Object.keys(UNITS).flatMap((name) => schedules.map((schedule) => [name, schedule] as const));

function fill({ machine }: Board, pa: bigint, byte: number): void {
  machine.memory.writeBytes(pa, new Uint8Array(4096).fill(byte));
}

describe.each(cases)('%s, %j', (name, schedule) => {
  const up = () => board(UNITS[name]!, schedule);

  it('a device that is attached to nothing is refused and reported', () => {
    const b = up();
    const { endpoint } = b.device(0x10);
    expect(endpoint.read(0x1000n, 8).ok).toBe(false);
    endpoint.read(0x1000n, 8, { requesterId: 0x4242 });
    expect(b.faults.map(({ device }) => device)).toEqual([0x10, 0x4242]);
    expect(b.down()).toBe(0);
  });

  it('mapped, then read; unmapped, then gone; mapped anew elsewhere, then seen', () => {
    const b = up();
    const { device, endpoint } = b.device(0x10);
    const domain = device.allocPaging();
    device.attach(domain);
    fill(b, PA, 0xaa);
    fill(b, PA + 0x5000n, 0xbb);
    expect(endpoint.read(0x5000n, 4).ok).toBe(false);
    domain.map(0x5000n, PA, 0x1000n, RW);
    expect([...endpoint.read(0x5000n, 4).data]).toEqual([0xaa, 0xaa, 0xaa, 0xaa]);
    expect(endpoint.write(0x5004n, Uint8Array.of(1, 2)).ok).toBe(true);
    domain.unmap(0x5000n, 0x1000n);
    expect(endpoint.read(0x5000n, 4).ok).toBe(false);
    domain.map(0x5000n, PA + 0x5000n, 0x1000n, PROT.READ);
    expect([...endpoint.read(0x5000n, 1).data]).toEqual([0xbb]);
    expect(endpoint.write(0x5000n, Uint8Array.of(1)).ok).toBe(false);
    expect(b.faults.length).toBeGreaterThan(0);
    device.detach();
    domain.free();
    expect(b.down()).toBe(0);
  });

  it('what another page needs stays when one of its neighbours goes, tables included', () => {
    const b = up();
    const { device, endpoint } = b.device(0x10);
    const domain = device.allocPaging();
    device.attach(domain);
    domain.map(0x3fff_f000n, PA, 0x3000n, RW);
    for (const at of [0x3fff_f000n, 0x4000_0000n, 0x4000_1000n]) expect(endpoint.read(at, 1).ok).toBe(true);
    domain.unmap(0x3fff_f000n, 0x1000n);
    const reachable = [0x3fff_f000n, 0x4000_0000n, 0x4000_1000n].map((at) => endpoint.read(at, 1).ok);
    expect(reachable).toEqual([false, true, true]);
  });

  it('large pages come and go as one', () => {
    const b = up();
    const { device, endpoint } = b.device(0x10);
    const domain = device.allocPaging();
    device.attach(domain);
    domain.map(0x20_0000n, PA, 0x20_0000n, RW);
    for (const at of [0x20_0000n, 0x2f_f000n, 0x3f_f000n]) expect(endpoint.read(at, 1).ok).toBe(true);
    domain.unmap(0x20_0000n, 0x20_0000n);
    for (const at of [0x20_0000n, 0x2f_f000n, 0x3f_f000n]) expect(endpoint.read(at, 1).ok).toBe(false);
    domain.map(0x20_0000n, PA, 0x1000n, RW);
    expect(endpoint.read(0x20_0000n, 1).ok).toBe(true);
    expect(endpoint.read(0x20_1000n, 1).ok).toBe(false);
  });

  it('domains and devices do not see each other; replacing forgets the old one', () => {
    const b = up();
    const [one, two] = [b.device(0x10), b.device(0x90)];
    const [x, y] = [one.device.allocPaging(), one.device.allocPaging()];
    fill(b, PA, 1);
    fill(b, PA + 0x1000n, 2);
    x.map(0x1000n, PA, 0x1000n, RW);
    y.map(0x1000n, PA + 0x1000n, 0x1000n, RW);
    one.device.attach(x);
    two.device.attach(y);
    expect(one.endpoint.read(0x1000n, 1).data[0]).toBe(1);
    expect(two.endpoint.read(0x1000n, 1).data[0]).toBe(2);
    one.device.replace(y);
    expect(one.endpoint.read(0x1000n, 1).data[0]).toBe(2);
    two.device.detach();
    expect(two.endpoint.read(0x1000n, 1).ok).toBe(false);
    expect(one.endpoint.read(0x1000n, 1).ok).toBe(true);
    one.device.replace(one.device.group.identity);
    fill(b, 0x7000_0000n, 9);
    expect(one.endpoint.read(0x7000_0000n, 1).data[0]).toBe(9);
    one.device.replace(x);
    expect(one.endpoint.read(0x1000n, 1).data[0]).toBe(1);
    expect(one.endpoint.read(0x7000_0000n, 1).ok).toBe(false);
  });

  it('second-stage domains of scalable units, where there are any', () => {
    const b = up();
    const { device, endpoint } = b.device(0x10);
    if (!b.unit.driver.capabilities.has('dirty-tracking')) {
      expect(() => device.allocPaging(ALLOC.DIRTY_TRACKING)).toThrow(/EOPNOTSUPP/);
      return;
    }
    const domain = device.allocPaging(ALLOC.DIRTY_TRACKING);
    device.attach(domain);
    domain.map(0x20_0000n, PA, 0x20_0000n, RW);
    domain.map(0x5000n, PA, 0x3000n, RW);
    endpoint.write(0x6000n, Uint8Array.of(1));
    domain.setDirtyTracking(true);
    endpoint.read(0x5000n, 1);
    endpoint.write(0x7000n, Uint8Array.of(1));
    endpoint.write(0x2f_0000n, Uint8Array.of(1));
    const everything = () => domain.readDirty(0n, 0x40_0000n);
    const expected = [
      { iova: 0x7000n, size: 0x1000n },
      { iova: 0x20_0000n, size: 0x20_0000n },
    ];
    expect(domain.readDirty(0n, 0x40_0000n, true)).toEqual(expected);
    expect(everything()).toEqual(expected);
    expect(everything()).toEqual([]);
    endpoint.write(0x7000n, Uint8Array.of(1));
    expect(everything()).toEqual([{ iova: 0x7000n, size: 0x1000n }]);
    domain.setDirtyTracking(false);
    endpoint.write(0x5000n, Uint8Array.of(1));
    expect(everything()).toEqual([]);
  });
});

describe('PASIDs', () => {
  it.each(['full', 'full, caching mode', 'second stage in scalable mode'])('%s', (name) => {
    const b = board(UNITS[name]!);
    const { device, endpoint } = b.device(0x10, { pasidBits: 10 });
    const [rid, a, c] = [device.allocPaging(), device.allocPaging(ALLOC.PASID), device.allocPaging(ALLOC.PASID)];
    for (const [i, domain] of [rid, a, c].entries()) {
      fill(b, PA + BigInt(i) * 0x1000n, i + 1);
      domain.map(0x1000n, PA + BigInt(i) * 0x1000n, 0x1000n, RW);
    }
    const seen = (pasid?: number) => endpoint.read(0x1000n, 1, pasid === undefined ? {} : { pasid }).data[0] ?? null;
    expect(endpoint.read(0x1000n, 1, { pasid: 5 }).ok).toBe(false);
    device.attach(rid);
    device.attach(a, 5);
    device.attach(c, 1023);
    expect([seen(), seen(5), seen(1023)]).toEqual([1, 2, 3]);
    a.unmap(0x1000n, 0x1000n);
    expect([seen(), endpoint.read(0x1000n, 1, { pasid: 5 }).ok, seen(1023)]).toEqual([1, false, 3]);
    device.replace(c, 5);
    expect([seen(5), seen(1023)]).toEqual([3, 3]);
    device.detach(5);
    expect(endpoint.read(0x1000n, 1, { pasid: 5 }).ok).toBe(false);
    expect(seen(1023)).toBe(3);
    c.unmap(0x1000n, 0x1000n);
    expect(endpoint.read(0x1000n, 1, { pasid: 1023 }).ok).toBe(false);
    for (const pasid of [1023, 0]) device.detach(pasid);
    for (const domain of [rid, a, c]) domain.free();
    expect(b.down()).toBe(0);
  });
});
