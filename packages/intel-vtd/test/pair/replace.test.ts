import { ALLOC, DmaAnswer, DmaRequest, OUTCOME, PROT } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { board, UNITS } from './board.ts';

/** A device that never stops: it reads 1000h before each of the driver's register writes. */
function busy(name: string, flags: readonly [number, number]) {
  const b = board(UNITS[name]!);
  const { device } = b.device(0x10);
  const domains = flags.map((flag, i) => {
    const domain = device.allocPaging(flag);
    domain.map(0x1000n, 0x8000_0000n + BigInt(i) * 0x1000n, 0x1000n, PROT.READ | PROT.WRITE);
    return domain;
  });
  device.attach(domains[0]!);
  const [request, answer] = [new DmaRequest(), new DmaAnswer()];
  request.device = 0x10;
  request.iovaLo = 0x1000;
  const outcomes: (string | number)[] = [];
  const look = () => {
    b.unit.hardware.translate(request, answer);
    outcomes.push(answer.outcome === OUTCOME.FAULT ? 'fault' : answer.paLo >>> 0);
  };
  const stop = b.machine.observe({ write: look });
  device.replace(domains[1]!);
  stop();
  look();
  return outcomes;
}

describe('a busy device across a replacement', () => {
  it.each(['legacy', 'legacy, write buffer', 'legacy, by registers', 'second stage in scalable mode'])(
    '%s: never refused, then on the new domain',
    (name) => {
      const outcomes = busy(name, [0, 0]);
      expect(outcomes).not.toContain('fault');
      expect(outcomes.at(-1)).toBe(0x8000_1000);
    },
  );

  it('between stages of a scalable unit as well', () => {
    for (const flags of [
      [0, ALLOC.NEST_PARENT],
      [ALLOC.NEST_PARENT, 0],
    ] as const) {
      const outcomes = busy('full', flags);
      expect(outcomes).not.toContain('fault');
      expect(outcomes.at(-1)).toBe(0x8000_1000);
    }
  });
});
