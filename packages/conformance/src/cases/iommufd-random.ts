import { uapi } from '@iommukit/iommufd';
import { equal } from '../expect.ts';
import { type BoundDevice, MAP, type User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

const STEPS = 120;
const SLOTS = 24;
const BLOCKS = 6;
const TOP = 2n ** 64n - 1n;

/** What one IOAS should map: host page by slot, and where each mapping starts and how long it is. */
interface Model {
  readonly id: number;
  readonly pa: (bigint | null)[];
  readonly areas: { first: number; count: number }[];
}

/** xorshift32: runs repeat. */
function dice(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const slot = (at: number): bigint => BASE + BigInt(at) * PAGE;

/** A walk over map, unmap, copy, attach, replace and detach in two address spaces by two devices. */
class Walk {
  readonly #user: User;
  readonly #roll = dice(0x1dea_5eed);
  readonly #spaces: readonly Model[];
  readonly #devices: readonly BoundDevice[];
  readonly #on: (Model | null)[] = [null, null];
  readonly #blocks: readonly { va: bigint; pa: bigint }[];

  constructor(user: User) {
    this.#user = user;
    this.#spaces = [0, 1].map(() => ({ id: user.ioas(), pa: new Array(SLOTS).fill(null), areas: [] }));
    this.#devices = [user.device('b'), user.device('pasid2')];
    this.#blocks = Array.from({ length: BLOCKS }, () => user.memory(PAGE * 4n));
  }

  step(): void {
    const space = this.#spaces[this.#roll(2)]!;
    const moves = [this.#map, this.#map, this.#copy, this.#unmap, this.#clear, this.#move, this.#move];
    moves[this.#roll(moves.length)]!.call(this, space);
    this.#check();
  }

  #map(space: Model): void {
    const [first, count] = [this.#roll(SLOTS - 4), 1 + this.#roll(4)];
    const { va, pa } = this.#blocks[this.#roll(BLOCKS)]!;
    const taken = space.pa.slice(first, first + count).some((at) => at !== null);
    const map = {
      ioas_id: space.id,
      flags: MAP.FIXED_RW,
      user_va: va,
      length: BigInt(count) * PAGE,
      iova: slot(first),
    };
    equal(this.#user.call(uapi.IOAS_MAP, map).errno, taken ? 'EEXIST' : null, 'errno of a map');
    if (!taken)
      this.#enter(
        space,
        first,
        [...Array(count).keys()].map((i) => pa + BigInt(i) * PAGE),
      );
  }

  #copy(from: Model): void {
    const to = this.#spaces[this.#roll(2)]!;
    const [source, target, count] = [this.#roll(SLOTS - 4), this.#roll(SLOTS - 4), 1 + this.#roll(4)];
    const pages = from.pa.slice(source, source + count);
    const errno = pages.includes(null)
      ? 'ENOENT'
      : to.pa.slice(target, target + count).some((at) => at !== null)
        ? 'EEXIST'
        : null;
    const ids = { src_ioas_id: from.id, dst_ioas_id: to.id };
    const iovas = { src_iova: slot(source), dst_iova: slot(target), length: BigInt(count) * PAGE };
    equal(this.#user.call(uapi.IOAS_COPY, { ...ids, ...iovas, flags: MAP.FIXED_RW }).errno, errno, 'errno of a copy');
    if (errno !== null) return;
    for (const piece of piecesOf(from, source, count)) {
      const at = target + (piece.first - source);
      this.#enter(to, at, pages.slice(piece.first - source, piece.first - source + piece.count) as bigint[]);
    }
  }

  #enter({ pa, areas }: Model, first: number, pages: readonly bigint[]): void {
    for (const [i, page] of pages.entries()) pa[first + i] = page;
    areas.push({ first, count: pages.length });
  }

  #unmap(space: Model): void {
    const area = space.areas[this.#roll(Math.max(space.areas.length, 1))];
    if (!area) return;
    equal(this.#user.unmap(space.id, slot(area.first), BigInt(area.count) * PAGE), BigInt(area.count) * PAGE, 'bytes');
    space.areas.splice(space.areas.indexOf(area), 1);
    space.pa.fill(null, area.first, area.first + area.count);
  }

  #clear(space: Model): void {
    if (this.#roll(4) > 0) return;
    const pages = space.pa.filter((at) => at !== null).length;
    equal(this.#user.unmap(space.id, 0n, TOP), BigInt(pages) * PAGE, 'bytes of everything');
    space.areas.length = 0;
    space.pa.fill(null);
  }

  #move(space: Model): void {
    const which = this.#roll(2);
    const { object } = this.#devices[which]!;
    if (this.#on[which] === null) object.attach(space.id);
    else if (this.#roll(3) === 0) {
      object.detach();
      this.#on[which] = null;
      return;
    } else object.replace(space.id);
    this.#on[which] = space;
  }

  #check(): void {
    for (const [which, { dma }] of this.#devices.entries())
      for (let at = 0; at < SLOTS; at++)
        equal(dma.glance(slot(at)), this.#on[which]?.pa[at] ?? null, `slot ${at} of device ${which}`);
    this.#user.rig.settle();
  }
}

/** The mappings that a range of slots crosses, cut to it, ascending. */
const piecesOf = ({ areas }: Model, first: number, count: number): { first: number; count: number }[] =>
  areas
    .map((area) => ({
      start: Math.max(area.first, first),
      end: Math.min(area.first + area.count, first + count),
    }))
    .filter(({ start, end }) => start < end)
    .sort((a, b) => a.start - b.start)
    .map(({ start, end }) => ({ first: start, count: end - start }));

export const iommufdRandom = userCases([
  {
    id: 'random-walk',
    title: 'after any sequence of maps, copies, unmaps and moves, two devices see exactly what the ioctls said',
    needs: [],
    run(user) {
      const walk = new Walk(user);
      for (let i = 0; i < STEPS; i++) walk.step();
    },
  },
]);
