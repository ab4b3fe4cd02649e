import type { IovaRange } from '@iommukit/core';

/** Ranges of a leaf, or children of an inner node. */
const ORDER = 64;

/** Ranges in order. */
export interface Leaf<T extends IovaRange> {
  readonly leaf: true;
  /** Starts of the items, as near as a double comes: what a search looks at first. */
  readonly keys: number[];
  readonly items: T[];
  /** No hole behind an item, up to the next item of the tree, is larger. It may promise too much. */
  bound: bigint;
  previous: Leaf<T> | null;
  next: Leaf<T> | null;
}

export interface Inner<T extends IovaRange> {
  readonly leaf: false;
  readonly keys: number[];
  /** Everything below child i starts at or above separator i, and below separator i + 1; the first is 0. */
  readonly separators: bigint[];
  readonly children: Node<T>[];
  bound: bigint;
}

export type Node<T extends IovaRange> = Leaf<T> | Inner<T>;

export const emptyLeaf = <T extends IovaRange>(): Leaf<T> => ({
  leaf: true,
  keys: [],
  items: [],
  bound: 0n,
  previous: null,
  next: null,
});

/** How many items start at or below `address`. */
export function upperItem<T extends IovaRange>({ keys, items }: Leaf<T>, address: bigint): number {
  let at = upperKey(keys, Number(address));
  while (at > 0 && items[at - 1]!.start > address) at--;
  return at;
}

/** How many separators are at or below `address`; at least one. */
export function upperSeparator<T extends IovaRange>({ keys, separators }: Inner<T>, address: bigint): number {
  let at = upperKey(keys, Number(address));
  while (at > 1 && separators[at - 1]! > address) at--;
  return at > 0 ? at : 1;
}

/** Rounding keeps the order, so only keys equal to `wanted` can be on the wrong side. */
function upperKey(keys: readonly number[], wanted: number): number {
  let low = 0;
  for (let high = keys.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Moves the upper half of a node that is too full to a new one, and returns that with where it begins. */
export function split<T extends IovaRange>(node: Node<T>): { separator: bigint; node: Node<T> } | null {
  if (node.keys.length <= ORDER) return null;
  return node.leaf ? splitLeaf(node) : splitInner(node);
}

/** Ranges are mostly added in order: the last leaf gives away one, not half. */
const cutOf = (node: { readonly keys: readonly number[] }, last: boolean): number =>
  last ? node.keys.length - 1 : node.keys.length >>> 1;

function splitLeaf<T extends IovaRange>(node: Leaf<T>): { separator: bigint; node: Leaf<T> } {
  const at = cutOf(node, node.next === null);
  const right: Leaf<T> = {
    leaf: true,
    keys: node.keys.splice(at),
    items: node.items.splice(at),
    bound: node.bound,
    previous: node,
    next: node.next,
  };
  if (node.next) node.next.previous = right;
  node.next = right;
  return { separator: right.items[0]!.start, node: right };
}

/** The first child takes whatever comes to its parent from below: neighbours on the left may go. */
export function openBelow<T extends IovaRange>({ keys, separators }: Inner<T>): void {
  keys[0] = 0;
  separators[0] = 0n;
}

function splitInner<T extends IovaRange>(node: Inner<T>): { separator: bigint; node: Inner<T> } {
  const at = cutOf(node, false);
  const right: Inner<T> = {
    leaf: false,
    keys: node.keys.splice(at),
    separators: node.separators.splice(at),
    children: node.children.splice(at),
    bound: node.bound,
  };
  const separator = right.separators[0]!;
  openBelow(right);
  return { separator, node: right };
}
