import { casesOf } from '../case.ts';
import { equal } from '../expect.ts';
import { type Rig, RW } from '../rig/rig.ts';
import { BASE, RO } from './scene.ts';

const PAGES = 48;
const STEPS = 250;

/** mulberry32: small integers that depend on the seed alone. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % sides;
  };
}

interface Mapped {
  readonly pa: bigint;
  readonly writable: boolean;
}

/** Random maps and unmaps of single pages, with DMA in between, against a plain map of what should be there. */
function play(rig: Rig, seed: number): void {
  const roll = dice(seed);
  const devices = [rig.device('a'), rig.device('b')];
  const domains = devices.map((device) => device.attached());
  const page = domains[0]!.granule;
  const models = [new Map<number, Mapped>(), new Map<number, Mapped>()];
  const frames = Array.from({ length: 16 }, () => rig.ram.take(page, page));
  for (let step = 0; step < STEPS; step++) {
    const who = roll(2);
    const slot = roll(PAGES);
    const [device, domain, model] = [devices[who]!, domains[who]!, models[who]!];
    const iova = BASE + page * BigInt(slot);
    const there = model.get(slot);
    const what = `seed ${seed}, step ${step}`;
    switch (roll(4)) {
      case 0: {
        if (there) break;
        const next = { pa: frames[roll(16)]!, writable: roll(3) > 0 };
        domain.map(iova, next.pa, page, next.writable ? RW : RO);
        model.set(slot, next);
        break;
      }
      case 1:
        equal(domain.unmap(iova, page), there ? page : 0n, `${what}: bytes unmapped`);
        model.delete(slot);
        break;
      case 2:
        if (there) device.reads(iova, there.pa);
        else device.refused('read', iova, { reason: 'not-present' });
        break;
      default:
        if (there?.writable) device.writes(iova, there.pa);
        else device.refused('write', iova, { reason: there ? 'permission' : 'not-present' });
    }
  }
  models.forEach((model, who) => {
    for (let slot = 0; slot < PAGES; slot++)
      equal(
        domains[who]!.iovaToPhys(BASE + page * BigInt(slot)),
        model.get(slot)?.pa ?? null,
        `seed ${seed}: page ${slot}`,
      );
  });
}

/** Devices that move between domains at random; each must always see its own. */
function wander(rig: Rig, seed: number): void {
  const roll = dice(seed);
  const devices = [rig.device('a'), rig.device('b'), rig.device('alias')];
  const domains = Array.from({ length: 4 }, () => devices[0]!.paging());
  const page = domains[0]!.granule;
  const pages = domains.map((domain) => {
    const pa = rig.ram.take(page, page);
    domain.map(BASE, pa, page, RW);
    return pa;
  });
  const where: (number | null)[] = [null, null, null];
  for (let step = 0; step < STEPS / 2; step++) {
    const who = roll(3);
    const device = devices[who]!;
    const to = roll(5);
    if (to === 4) device.detach();
    else if (where[who] === null) device.attach(domains[to]!);
    else device.replace(domains[to]!);
    where[who] = to === 4 ? null : to;
    devices.forEach((one, i) => {
      const at = where[i];
      if (at === null || at === undefined) one.refused('read', BASE, { reported: 'blocked' });
      else one.reads(BASE, pages[at]!);
    });
  }
}

export const random = casesOf(
  'random',
  [1, 2, 3].flatMap((seed) => [
    {
      id: `map-unmap-${seed}`,
      title: `random maps, unmaps and DMA agree with a plain model (seed ${seed})`,
      needs: [],
      run: (rig: Rig) => play(rig, seed * 7919),
    },
    {
      id: `attach-${seed}`,
      title: `devices moving between domains at random see their own and no other (seed ${seed})`,
      needs: [],
      run: (rig: Rig) => wander(rig, seed * 104_729),
    },
  ]),
);
