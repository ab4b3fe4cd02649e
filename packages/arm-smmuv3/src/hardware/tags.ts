import { enlarged, PairMap } from './pair-map.ts';

/** Translation regimes as the translation caches tell them apart, IHI 0070 3.3 and 3.17. */
export const WORLD = { EL1: 0, EL2: 1, EL2_E2H: 2, STAGE2: 3 } as const;
export type World = (typeof WORLD)[keyof typeof WORLD];

const GLOBAL = 1;
const ASET = 2;

/**
 * Numbers for translation tags {world, VMID, ASID or global, ASET}: cached translations carry the number, so that a
 * lookup compares one integer and an invalidation goes from a tag straight to its entries.
 *
 * A tag lives as long as somebody holds it: configuration cache entries that use it, and cached translations.
 */
export class Tags {
  private readonly map: PairMap;
  private holders: Int32Array;
  /** Live tags of one VMID, as a doubly linked list (tags of the EL2 worlds stand under VMID 0). */
  private readonly byVmid = new Int32Array(0x10000).fill(-1);
  private next: Int32Array;
  private previous: Int32Array;

  /** `limit` must exceed the number of configuration entries and cached translations together. */
  constructor(limit: number) {
    this.map = new PairMap(limit);
    this.holders = new Int32Array(this.map.slots);
    this.next = new Int32Array(this.map.slots);
    this.previous = new Int32Array(this.map.slots);
  }

  get live(): number {
    return this.map.size;
  }

  /** Tags are below this. */
  get slots(): number {
    return this.map.slots;
  }

  inUse(tag: number): boolean {
    return this.map.inUse(tag);
  }

  /** The tag's number, or -1 when nothing is cached under it. */
  find(world: World, vmid: number, asid: number, aset: number): number {
    return this.map.find(vmid | (world << 16), (asid << 2) | (aset ? ASET : 0));
  }

  /** The tag of translations that match any ASID of this world, VMID and ASET; -1 when there are none. */
  findGlobal(world: World, vmid: number, aset: number): number {
    return this.map.find(vmid | (world << 16), (aset ? ASET : 0) | GLOBAL);
  }

  /** The tag's number; the caller holds it until {@link release}. */
  hold(world: World, vmid: number, asid: number, aset: number): number {
    return this.acquire(vmid | (world << 16), (asid << 2) | (aset ? ASET : 0));
  }

  holdGlobal(world: World, vmid: number, aset: number): number {
    return this.acquire(vmid | (world << 16), (aset ? ASET : 0) | GLOBAL);
  }

  /** One more holder of a tag that has one. */
  retain(tag: number): void {
    this.holders[tag]!++;
  }

  release(tag: number): void {
    if (--this.holders[tag]! > 0) return;
    const before = this.previous[tag]!;
    const after = this.next[tag]!;
    if (before >= 0) this.next[before] = after;
    else this.byVmid[this.vmidOf(tag)] = after;
    if (after >= 0) this.previous[after] = before;
    this.map.remove(tag);
  }

  worldOf(tag: number): World {
    return ((this.map.firstOf(tag) >>> 16) & 3) as World;
  }

  vmidOf(tag: number): number {
    return this.map.firstOf(tag) & 0xffff;
  }

  isGlobal(tag: number): boolean {
    return (this.map.secondOf(tag) & GLOBAL) !== 0;
  }

  /** The first tag of a VMID, or -1; go on with {@link following}. */
  firstOf(vmid: number): number {
    return this.byVmid[vmid]!;
  }

  following(tag: number): number {
    return this.next[tag]!;
  }

  private acquire(a: number, b: number): number {
    const found = this.map.find(a, b);
    if (found >= 0) {
      this.holders[found]!++;
      return found;
    }
    const tag = this.map.add(a, b);
    if (this.holders.length < this.map.slots) this.grow();
    this.holders[tag] = 1;
    const vmid = a & 0xffff;
    const head = this.byVmid[vmid]!;
    this.next[tag] = head;
    this.previous[tag] = -1;
    if (head >= 0) this.previous[head] = tag;
    this.byVmid[vmid] = tag;
    return tag;
  }

  private grow(): void {
    this.holders = enlarged(this.holders, this.map.slots);
    this.next = enlarged(this.next, this.map.slots);
    this.previous = enlarged(this.previous, this.map.slots);
  }
}
