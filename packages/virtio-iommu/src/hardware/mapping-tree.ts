import { CellPool } from './cell-pool.ts';

/** Entries of a node. */
const FANOUT = 32;
/** Words of a node: count, links of a leaf's neighbours, key pairs, then one reference per key. */
const COUNT = 0;
const PREVIOUS = 1;
const NEXT = 2;
const KEYS = 3;
const REFS = KEYS + 2 * FANOUT;
const NODE_WORDS = REFS + FANOUT;

/** Words of a mapping. Start and last are flipped halves; `delta` is what turns a VA into a PA, modulo 2^64. */
export const MAPPING = {
  START_HI: 0,
  START_LO: 1,
  LAST_HI: 2,
  LAST_LO: 3,
  DELTA_HI: 4,
  DELTA_LO: 5,
  FLAGS: 6,
} as const;
const MAPPING_WORDS = 8;

/** A root only splits after many insertions, so 32 levels are out of reach. */
const MAX_HEIGHT = 32;

/** Memory shared by the trees of all domains of one device. */
export class MappingStore {
  readonly nodes: CellPool;
  readonly mappings: CellPool;

  constructor(maxMappings: number) {
    this.mappings = new CellPool(MAPPING_WORDS, maxMappings);
    this.nodes = new CellPool(NODE_WORDS, (maxMappings >> 3) + 2 * MAX_HEIGHT);
  }
}

/**
 * The mappings of one domain by first address: a B+ tree whose nodes are freed when they become empty, never merged
 * before. The key of an inner node's first child is never looked at: that child takes everything below the second.
 * Keys are flipped halves, see `address.ts`.
 */
export class MappingTree {
  private readonly store: MappingStore;
  private root = -1;
  /** Levels above the leaves. */
  private height = 0;
  private readonly pathNode = new Int32Array(MAX_HEIGHT);
  private readonly pathSlot = new Int32Array(MAX_HEIGHT);

  constructor(store: MappingStore) {
    this.store = store;
  }

  /** The mapping with the highest start at or below an address; -1 when there is none. */
  floor(hi: number, lo: number): number {
    if (this.root === -1) return -1;
    const cells = this.store.nodes.cells;
    let node = this.root;
    for (let level = this.height; level > 0; level--) node = cells[node + REFS + upper(cells, node, 1, hi, lo) - 1]!;
    const slot = upper(cells, node, 0, hi, lo) - 1;
    if (slot >= 0) return cells[node + REFS + slot]!;
    const before = cells[node + PREVIOUS]!;
    return before === -1 ? -1 : cells[before + REFS + cells[before + COUNT]! - 1]!;
  }

  /** The mapping with the lowest start at or above an address; -1 when there is none. */
  ceiling(hi: number, lo: number): number {
    if (this.root === -1) return -1;
    const leaf = this.descend(hi, lo);
    const cells = this.store.nodes.cells;
    const slot = this.slotFrom(leaf, hi, lo);
    if (slot < cells[leaf + COUNT]!) return cells[leaf + REFS + slot]!;
    const next = cells[leaf + NEXT]!;
    return next === -1 ? -1 : cells[next + REFS]!;
  }

  /** Room for one more mapping, whatever it makes of the tree. */
  hasRoom(): boolean {
    return this.store.mappings.room > 0 && this.store.nodes.room > this.height + 1;
  }

  /** Adds a mapping whose start is not in the tree. Only when {@link hasRoom}. Returns its words' index, to be filled. */
  insert(hi: number, lo: number): number {
    const mapping = this.store.mappings.take();
    if (this.root === -1) this.root = this.newNode();
    let node = this.descend(hi, lo);
    let slot = upper(this.store.nodes.cells, node, 0, hi, lo);
    if (this.store.nodes.cells[node + COUNT] === FANOUT) {
      const right = this.split(node, this.height);
      const kept = this.store.nodes.cells[node + COUNT]!;
      if (slot > kept) {
        node = right;
        slot -= kept;
      }
    }
    this.put(node, slot, hi, lo, mapping);
    return mapping;
  }

  /** Removes the mapping that starts exactly there. */
  remove(hi: number, lo: number): void {
    const leaf = this.descend(hi, lo);
    const slot = this.slotFrom(leaf, hi, lo);
    this.store.mappings.release(this.store.nodes.cells[leaf + REFS + slot]!);
    this.drop(leaf, slot);
    if (this.store.nodes.cells[leaf + COUNT] === 0) this.prune(leaf);
  }

  /** Gives everything back. */
  clear(): void {
    let mapping = this.ceiling(-0x80000000, -0x80000000);
    while (mapping !== -1) {
      const { cells } = this.store.mappings;
      this.remove(cells[mapping]!, cells[mapping + 1]!);
      mapping = this.ceiling(-0x80000000, -0x80000000);
    }
  }

  /** Goes down to the leaf for a key and leaves the way in `path…`, by level. */
  private descend(hi: number, lo: number): number {
    const cells = this.store.nodes.cells;
    let node = this.root;
    for (let level = this.height; level > 0; level--) {
      const slot = upper(cells, node, 1, hi, lo) - 1;
      this.pathNode[level] = node;
      this.pathSlot[level] = slot;
      node = cells[node + REFS + slot]!;
    }
    return node;
  }

  /** First slot of a leaf whose key is at or above. */
  private slotFrom(leaf: number, hi: number, lo: number): number {
    const cells = this.store.nodes.cells;
    const slot = upper(cells, leaf, 0, hi, lo);
    const exact = slot > 0 && cells[leaf + KEYS + 2 * slot - 2] === hi && cells[leaf + KEYS + 2 * slot - 1] === lo;
    return exact ? slot - 1 : slot;
  }

  private newNode(): number {
    const node = this.store.nodes.take();
    const { cells } = this.store.nodes;
    cells[node + COUNT] = 0;
    cells[node + PREVIOUS] = -1;
    cells[node + NEXT] = -1;
    return node;
  }

  /** Moves the upper half of a full node to a new right neighbour and makes it known above. */
  private split(node: number, height: number, level = 0): number {
    const right = this.newNode();
    const { cells } = this.store.nodes;
    const half = FANOUT / 2;
    cells.copyWithin(right + KEYS, node + KEYS + 2 * half, node + KEYS + 2 * FANOUT);
    cells.copyWithin(right + REFS, node + REFS + half, node + REFS + FANOUT);
    cells[node + COUNT] = half;
    cells[right + COUNT] = FANOUT - half;
    if (level === 0) this.link(node, right);
    const hi = cells[right + KEYS]!;
    const lo = cells[right + KEYS + 1]!;
    if (level === height) this.growRoot(node, right, hi, lo);
    else this.raise(level + 1, height, right, hi, lo);
    return right;
  }

  private link(node: number, right: number): void {
    const { cells } = this.store.nodes;
    const after = cells[node + NEXT]!;
    cells[right + PREVIOUS] = node;
    cells[right + NEXT] = after;
    cells[node + NEXT] = right;
    if (after !== -1) cells[after + PREVIOUS] = right;
  }

  private growRoot(left: number, right: number, hi: number, lo: number): void {
    const root = this.newNode();
    this.put(root, 0, hi, lo, left);
    this.put(root, 1, hi, lo, right);
    this.root = root;
    this.height++;
  }

  /** Puts a new child behind the slot through which the way down went. */
  private raise(level: number, height: number, child: number, hi: number, lo: number): void {
    let parent = this.pathNode[level]!;
    let slot = this.pathSlot[level]! + 1;
    if (this.store.nodes.cells[parent + COUNT] === FANOUT) {
      const right = this.split(parent, height, level);
      const kept = this.store.nodes.cells[parent + COUNT]!;
      if (slot > kept) {
        parent = right;
        slot -= kept;
      }
    }
    this.put(parent, slot, hi, lo, child);
  }

  private put(node: number, slot: number, hi: number, lo: number, ref: number): void {
    const { cells } = this.store.nodes;
    const count = cells[node + COUNT]!;
    const keys = node + KEYS;
    const refs = node + REFS;
    cells.copyWithin(keys + 2 * slot + 2, keys + 2 * slot, keys + 2 * count);
    cells.copyWithin(refs + slot + 1, refs + slot, refs + count);
    cells[keys + 2 * slot] = hi;
    cells[keys + 2 * slot + 1] = lo;
    cells[refs + slot] = ref;
    cells[node + COUNT] = count + 1;
  }

  private drop(node: number, slot: number): void {
    const { cells } = this.store.nodes;
    const count = cells[node + COUNT]!;
    const keys = node + KEYS;
    const refs = node + REFS;
    cells.copyWithin(keys + 2 * slot, keys + 2 * slot + 2, keys + 2 * count);
    cells.copyWithin(refs + slot, refs + slot + 1, refs + count);
    cells[node + COUNT] = count - 1;
  }

  /** Frees an empty leaf, and every node above that becomes empty by it. The way down is still in `path…`. */
  private prune(leaf: number): void {
    const { nodes } = this.store;
    const before = nodes.cells[leaf + PREVIOUS]!;
    const after = nodes.cells[leaf + NEXT]!;
    if (before !== -1) nodes.cells[before + NEXT] = after;
    if (after !== -1) nodes.cells[after + PREVIOUS] = before;
    nodes.release(leaf);
    let level = 1;
    for (; level <= this.height; level++) {
      const node = this.pathNode[level]!;
      this.drop(node, this.pathSlot[level]!);
      if (nodes.cells[node + COUNT] !== 0) break;
      nodes.release(node);
    }
    if (level > this.height) {
      this.root = -1;
      this.height = 0;
    } else this.lowerRoot();
  }

  private lowerRoot(): void {
    const { nodes } = this.store;
    while (this.height > 0 && nodes.cells[this.root + COUNT] === 1) {
      const child = nodes.cells[this.root + REFS]!;
      nodes.release(this.root);
      this.root = child;
      this.height--;
    }
  }
}

/** First slot from `from` on whose key is above; `from` itself when none below it counts. */
function upper(cells: Int32Array, node: number, from: number, hi: number, lo: number): number {
  let low = from;
  let high = cells[node + COUNT]!;
  const keys = node + KEYS;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = keys + 2 * middle;
    const keyHi = cells[at]!;
    if (keyHi < hi || (keyHi === hi && cells[at + 1]! <= lo)) low = middle + 1;
    else high = middle;
  }
  return low;
}
