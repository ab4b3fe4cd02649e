import { bytesToHex } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import { attach, attached, detach, map, S, start, startWithout, unmap } from './rig.ts';

describe('framing (virtio 1.3 §5.13.6)', () => {
  test('an unknown type is returned unwritten with length 0', () => {
    const { used, answer } = start().send('2a000000'.padEnd(40, '0'), 8);
    expect([used, bytesToHex(answer)]).toEqual([0, 'ee'.repeat(8)]);
  });

  test('no room for the tail, or no type: unwritten, length 0, and nothing is done', () => {
    const rig = start();
    expect(rig.send(attach(1, 0x10), 3)).toEqual({ used: 0, answer: new Uint8Array(3).fill(0xee) });
    expect(rig.send(attach(1, 0x10), 0).used).toBe(0);
    expect(rig.send('010000', 4).used).toBe(0);
    expect(rig.send('', 4).used).toBe(0);
    expect(rig.status(map(1, 0n, 0xfffn, 0n))).toBe(S.NOENT);
  });

  test('the head’s reserved bytes are ignored, the tail’s are written as zero', () => {
    const { used, answer } = start().send(`01ffffff${attach(1, 0x10).slice(8)}`, 6);
    expect([used, bytesToHex(answer)]).toEqual([4, '00000000eeee']);
  });

  test('a body that is too short is INVAL, a longer one is accepted', () => {
    const rig = start();
    expect(rig.status(attach(1, 0x10).slice(0, 38))).toBe(S.INVAL);
    expect(rig.status(attach(1, 0x10).slice(0, 8))).toBe(S.INVAL);
    expect(rig.status(`${attach(1, 0x10)}ffffffff`)).toBe(S.OK);
  });

  test.each([
    ['not offered', () => start({ features: ['PROBE', 'BYPASS_CONFIG'] })],
    ['not negotiated', () => startWithout(2n)],
  ])('MAP and UNMAP where MAP_UNMAP is %s: unwritten', (_title, make) => {
    const rig = make();
    expect(rig.status(attach(1, 0x10))).toBe(S.OK);
    expect(rig.send(map(1, 0n, 0xfffn, 0n)).used).toBe(0);
    expect(rig.send(unmap(1, 0n, 0xfffn)).used).toBe(0);
  });
});

describe('ATTACH (§5.13.6.3)', () => {
  test('reserved word and unknown flags are INVAL', () => {
    const rig = start();
    expect(rig.status(attach(1, 0x10, 0, 1))).toBe(S.INVAL);
    expect(rig.status(attach(1, 0x10, 2))).toBe(S.INVAL);
    expect(rig.status(attach(1, 0x10, 0x8000_0000))).toBe(S.INVAL);
  });

  test('BYPASS needs BYPASS_CONFIG negotiated', () => {
    expect(startWithout(6n).status(attach(1, 0x10, 1))).toBe(S.INVAL);
    expect(start().status(attach(1, 0x10, 1))).toBe(S.OK);
  });

  test('unknown endpoint NOENT, domain outside the range RANGE', () => {
    const rig = start({ endpoints: [{ first: 8, last: 15 }], domainRange: { start: 2, last: 9 } });
    expect(rig.status(attach(2, 7))).toBe(S.NOENT);
    expect(rig.status(attach(2, 16))).toBe(S.NOENT);
    expect(rig.status(attach(1, 8))).toBe(S.RANGE);
    expect(rig.status(attach(10, 8))).toBe(S.RANGE);
    expect(rig.status(attach(9, 15))).toBe(S.OK);
  });

  test('ranges that are not offered limit nothing', () => {
    const limits = { domainRange: { start: 2, last: 9 }, inputRange: { start: 0n, last: 0xfffn } };
    const rig = start({ ...limits, features: ['MAP_UNMAP'] });
    expect(rig.status(attach(0xffff_ffff, 0x10))).toBe(S.OK);
    expect(rig.status(map(0xffff_ffff, 0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_ffffn, 0n))).toBe(S.OK);
    const limited = start(limits);
    expect(limited.status(attach(1, 0x10))).toBe(S.RANGE);
    expect(limited.status(attach(2, 0x10))).toBe(S.OK);
    expect(limited.status(map(2, 0x1000n, 0x1fffn, 0n))).toBe(S.RANGE);
  });

  test('ids use all 32 bits', () => {
    const rig = start({ endpoints: [{ first: 0xffff_fff0, last: 0xffff_ffff }] });
    expect(rig.status(attach(0xffff_ffff, 0xffff_ffff))).toBe(S.OK);
    expect(rig.status(map(0xffff_ffff, 0n, 0xfffn, 0x5000n))).toBe(S.OK);
    expect(rig.where(0xffff_ffff, 4n)).toBe(0x5004n);
  });

  test('the other bypass-ness of an existing domain is INVAL, and the endpoint stays where it was', () => {
    const rig = attached();
    expect(rig.status(map(1, 0n, 0xfffn, 0x5000n))).toBe(S.OK);
    expect(rig.status(attach(2, 0x11, 1))).toBe(S.OK);
    expect(rig.status(attach(2, 0x10))).toBe(S.INVAL);
    expect(rig.status(attach(1, 0x11, 1))).toBe(S.INVAL);
    // Also for the sole endpoint of a domain: it is checked before anything is undone.
    expect(rig.status(attach(1, 0x10, 1))).toBe(S.INVAL);
    expect(rig.where(0x10, 0n)).toBe(0x5000n);
    expect(rig.where(0x11, 0x1234n)).toBe(0x1234n);
  });

  test('attaching again to the same domain keeps its mappings', () => {
    const rig = attached();
    rig.status(map(1, 0n, 0xfffn, 0x5000n));
    expect(rig.status(attach(1, 0x10))).toBe(S.OK);
    expect(rig.where(0x10, 0n)).toBe(0x5000n);
  });

  test('moving the last endpoint out destroys the domain with its mappings', () => {
    const rig = attached();
    rig.status(map(1, 0n, 0xfffn, 0x5000n));
    expect(rig.status(attach(2, 0x10))).toBe(S.OK);
    expect(rig.where(0x10, 0n)).toBe('fault 2');
    expect(rig.status(map(1, 0n, 0xfffn, 0n))).toBe(S.NOENT);
    expect(rig.status(attach(1, 0x11))).toBe(S.OK);
    expect(rig.where(0x11, 0n)).toBe('fault 2');
  });

  test('an endpoint whose regions lie over a mapping is incompatible: UNSUPP', () => {
    const reserved = [{ endpoint: 0x11, subtype: 'RESERVED', start: 0x2000n, end: 0x2fffn } as const];
    const rig = start({ reserved });
    rig.status(attach(1, 0x10));
    rig.status(map(1, 0n, 0x3fffn, 0x5000n));
    expect(rig.status(attach(1, 0x11))).toBe(S.UNSUPP);
    expect(rig.where(0x11, 0n)).toBe('fault 1');
    rig.status(unmap(1, 0n, 0x3fffn));
    expect(rig.status(attach(1, 0x11))).toBe(S.OK);
    expect(rig.status(map(1, 0n, 0x2000n - 1n, 0n))).toBe(S.OK);
    expect(rig.status(map(1, 0x2000n, 0x2fffn, 0n))).toBe(S.INVAL);
  });

  test('too many domains are NOMEM; replacing the sole member of one is not one more', () => {
    const rig = start({ maxDomains: 2 });
    expect([attach(1, 1), attach(2, 2), attach(3, 3)].map((hex) => rig.status(hex))).toEqual([S.OK, S.OK, S.NOMEM]);
    expect(rig.status(attach(3, 2))).toBe(S.OK);
    expect(rig.status(attach(3, 1))).toBe(S.OK);
    expect(rig.status(attach(1, 3))).toBe(S.OK);
  });
});

test('no more than 65,536 endpoints are attached, whatever number of ids exist', () => {
  const rig = start({ endpoints: [{ first: 0, last: 0xffff_ffff }] });
  for (let id = 0; id < 0x1_0000; id++) if (rig.status(attach(1, id)) !== S.OK) throw new Error(`endpoint ${id}`);
  expect(rig.status(attach(1, 0x1_0000))).toBe(S.NOMEM);
  expect(rig.status(attach(1, 5))).toBe(S.OK);
  expect(rig.status(detach(1, 5))).toBe(S.OK);
  expect(rig.status(attach(1, 0x1_0000))).toBe(S.OK);
});

describe('DETACH (§5.13.6.4)', () => {
  test('reserved bytes are ignored, unlike ATTACH', () => {
    expect(attached().status(detach(1, 0x10, 0xffff_ffff_ffff_ffffn))).toBe(S.OK);
  });

  test('unknown endpoint NOENT; wrong domain, or not attached, INVAL', () => {
    const rig = start({ endpoints: [{ first: 0x10, last: 0x11 }] });
    rig.status(attach(1, 0x10));
    expect(rig.status(detach(1, 0x12))).toBe(S.NOENT);
    expect(rig.status(detach(2, 0x10))).toBe(S.INVAL);
    expect(rig.status(detach(1, 0x11))).toBe(S.INVAL);
    expect(rig.status(detach(1, 0x10))).toBe(S.OK);
    expect(rig.status(detach(1, 0x10))).toBe(S.INVAL);
  });

  test('mappings outlive one of two endpoints, not the last', () => {
    const rig = attached();
    rig.status(attach(1, 0x11));
    rig.status(map(1, 0n, 0xfffn, 0x5000n));
    rig.status(detach(1, 0x10));
    expect([rig.where(0x10, 0n), rig.where(0x11, 0n)]).toEqual(['fault 1', 0x5000n]);
    rig.status(detach(1, 0x11));
    rig.status(attach(1, 0x10));
    expect(rig.where(0x10, 0n)).toBe('fault 2');
  });
});
