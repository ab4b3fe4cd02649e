import { type IovaRange, TOP_ADDRESS } from '@iommukit/core';
import { emptyLeaf, type Leaf, type Node, openBelow, split, upperItem, upperSeparator } from './interval-node.ts';

/**
 * Disjoint inclusive ranges in order: a B+ tree that also knows about how large the largest hole of every subtree is.
 * Insert, delete, lookup and the next hole of a given size cost O(log n), however many mappings one address space has,
 * and few cache lines: a million ranges are four levels deep.
 */
export class IntervalTree<T extends IovaRange> {
  #root: Node<T> = emptyLeaf();
  #size = 0;
  /** The highest range. */
  #top: T | null = null;

  get size(): number {
    return this.#size;
  }

  /** Adds a range that overlaps none here. */
  insert(item: T): void {
    const right = insertInto(this.#root, item);
    if (right) {
      const { separator, node } = right;
      const children = [this.#root, node];
      const bound = this.#root.bound > node.bound ? this.#root.bound : node.bound;
      this.#root = { leaf: false, keys: [0, Number(separator)], separators: [0n, separator], children, bound };
    }
    this.#size++;
    if (this.#top === null || item.start > this.#top.start) {
      if (this.#top) this.#raise(this.#top.start, item.start - this.#top.last - 1n);
      this.#top = item;
    } else this.#raise(item.start, this.#holeBehind(item));
  }

  /** Removes the range that starts at `item.start`. */
  delete(item: T): void {
    const leaf = this.#leafOf(item.start);
    const at = upperItem(leaf, item.start) - 1;
    if (at < 0 || leaf.items[at]!.start !== item.start) return;
    const before = at > 0 ? leaf.items[at - 1]! : (leaf.previous?.items.at(-1) ?? null);
    leaf.keys.splice(at, 1);
    leaf.items.splice(at, 1);
    this.#size--;
    if (leaf.items.length === 0) this.#prune(leaf, item.start);
    if (this.#top?.start === item.start) this.#top = before;
    else if (before) this.#raise(before.start, this.#holeBehind(before));
  }

  /** The range that holds `address`, or the first one above it. */
  atOrAfter(address: bigint): T | null {
    const leaf = this.#leafOf(address);
    const at = upperItem(leaf, address);
    if (at > 0) {
      const found = leaf.items[at - 1]!;
      if (found.last >= address) return found;
    }
    return at < leaf.items.length ? leaf.items[at]! : (leaf.next?.items[0] ?? null);
  }

  /** The range that holds `address`. */
  at(address: bigint): T | null {
    const found = this.atOrAfter(address);
    return found && found.start <= address ? found : null;
  }

  /** The lowest range that touches `[start, last]`. */
  overlapping({ start, last }: IovaRange): T | null {
    const found = this.atOrAfter(start);
    return found && found.start <= last ? found : null;
  }

  /** Ranges that touch `[start, last]`, ascending. Safe against deleting the one just given. */
  *within(start: bigint, last: bigint): Generator<T> {
    for (let item = this.atOrAfter(start); item && item.start <= last; ) {
      yield item;
      if (item.last === TOP_ADDRESS) return;
      item = this.atOrAfter(item.last + 1n);
    }
  }

  [Symbol.iterator](): Generator<T> {
    return this.within(0n, TOP_ADDRESS);
  }

  /** Holes of at least `size` bytes in `[start, last]`, ascending, cut to it. Smaller ones are skipped without a visit. */
  *holes(start: bigint, last: bigint, size: bigint): Generator<IovaRange> {
    let from = start;
    while (from <= last) {
      const hole = this.#nextHole(from, last, size);
      if (!hole) return;
      yield hole;
      from = hole.last + 1n;
    }
  }

  #nextHole(start: bigint, last: bigint, size: bigint): IovaRange | null {
    const covering = this.at(start);
    const from = covering ? covering.last + 1n : start;
    if (from > last) return null;
    const next = this.atOrAfter(from);
    const direct = cut(from, next ? next.start - 1n : last, last);
    if (direct && direct.last - direct.start + 1n >= size) return direct;
    return next ? this.#holeAbove(next, last, size) : null;
  }

  /** The first hole of `size` above `item`, where everything below is known to be too small. */
  #holeAbove(item: T, last: bigint, size: bigint): IovaRange | null {
    const before = firstHole(this.#root, item.start, size) ?? this.#top!;
    if (before.last === TOP_ADDRESS || before.last + 1n > last) return null;
    const next = this.atOrAfter(before.last + 1n);
    const hole = cut(before.last + 1n, next ? next.start - 1n : last, last);
    return hole && hole.last - hole.start + 1n >= size ? hole : null;
  }

  /** The leaf in which `address` is to be looked for. */
  #leafOf(address: bigint): Leaf<T> {
    let node = this.#root;
    while (!node.leaf) node = node.children[upperSeparator(node, address) - 1]!;
    return node;
  }

  /** Bytes between a range and the next one. */
  #holeBehind(item: T): bigint {
    const next = this.atOrAfter(item.last + 1n);
    return next ? next.start - item.last - 1n : 0n;
  }

  /** Every subtree around `address` learns of a hole there. */
  #raise(address: bigint, hole: bigint): void {
    for (let node = this.#root; ; node = node.children[upperSeparator(node, address) - 1]!) {
      if (node.bound < hole) node.bound = hole;
      if (node.leaf) return;
    }
  }

  /** Takes an empty leaf, reached by `address`, out of the tree; nodes above that become empty go with it. */
  #prune(leaf: Leaf<T>, address: bigint): void {
    if (leaf === this.#root) return;
    if (leaf.previous) leaf.previous.next = leaf.next;
    if (leaf.next) leaf.next.previous = leaf.previous;
    if (removeFrom(this.#root, address)) this.#root = emptyLeaf();
    while (!this.#root.leaf && this.#root.children.length === 1) this.#root = this.#root.children[0]!;
  }
}

const cut = (start: bigint, end: bigint, last: bigint): IovaRange | null => {
  const stop = end < last ? end : last;
  return start <= stop ? { start, last: stop } : null;
};

/** Returns what has to stand to the right of `node` from now on, when it had to be split. */
function insertInto<T extends IovaRange>(node: Node<T>, item: T): { separator: bigint; node: Node<T> } | null {
  if (node.leaf) {
    const at = upperItem(node, item.start);
    node.keys.splice(at, 0, Number(item.start));
    node.items.splice(at, 0, item);
    return split(node);
  }
  const at = upperSeparator(node, item.start);
  const right = insertInto(node.children[at - 1]!, item);
  if (!right) return null;
  node.keys.splice(at, 0, Number(right.separator));
  node.separators.splice(at, 0, right.separator);
  node.children.splice(at, 0, right.node);
  return split(node);
}

/** Removes the empty leaf that `address` leads to. True when `node` itself is empty now. */
function removeFrom<T extends IovaRange>(node: Node<T>, address: bigint): boolean {
  if (node.leaf) return true;
  const at = upperSeparator(node, address) - 1;
  if (!removeFrom(node.children[at]!, address)) return false;
  node.keys.splice(at, 1);
  node.separators.splice(at, 1);
  node.children.splice(at, 1);
  if (node.children.length === 0) return true;
  openBelow(node);
  return false;
}

/**
 * The lowest range from `start` on that is followed by another one after a hole of `size`. A subtree that promised one
 * and has none learns what it really has.
 */
function firstHole<T extends IovaRange>(node: Node<T>, start: bigint, size: bigint): T | null {
  if (node.bound < size) return null;
  return node.leaf ? firstHoleOfLeaf(node, start, size) : firstHoleBelow(node, start, size);
}

function firstHoleBelow<T extends IovaRange>(node: Exclude<Node<T>, Leaf<T>>, start: bigint, size: bigint): T | null {
  const from = upperSeparator(node, start) - 1;
  for (let at = from; at < node.children.length; at++) {
    const found = firstHole(node.children[at]!, start, size);
    if (found) return found;
  }
  if (from === 0) node.bound = node.children.reduce((most, { bound }) => (bound > most ? bound : most), 0n);
  return null;
}

function firstHoleOfLeaf<T extends IovaRange>(leaf: Leaf<T>, start: bigint, size: bigint): T | null {
  const { items, next } = leaf;
  let most = 0n;
  for (let at = 0; at < items.length; at++) {
    const behind = at + 1 < items.length ? items[at + 1]! : next?.items[0];
    if (!behind) break;
    const hole = behind.start - items[at]!.last - 1n;
    if (hole >= size && items[at]!.start >= start) return items[at]!;
    if (hole > most) most = hole;
  }
  leaf.bound = most;
  return null;
}
