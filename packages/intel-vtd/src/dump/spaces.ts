import { type DumpMapping, PERMISSION, type PhysicalMemory } from '@iommukit/core';
import { PGTT } from '../format/index.ts';
import type { Features } from '../hardware/features.ts';
import { firstStageReader, secondStageReader } from './entry.ts';
import { leaves, lookup, type Tables } from './tables.ts';

/** An address space as the tables configure it. `pgtt` is null in legacy mode. */
export interface Space {
  readonly pgtt: number;
  readonly second: { readonly root: bigint; readonly levels: number };
  readonly first: { readonly root: bigint; readonly levels: number };
}

const MIN = (a: bigint, b: bigint): bigint => (a < b ? a : b);

function secondTables(memory: PhysicalMemory, features: Features, space: Space, ssirwe: boolean): Tables {
  return {
    memory,
    ...space.second,
    read: secondStageReader(features, ssirwe),
    locate: (address) => address,
    signBits: 64,
  };
}

function firstTables(memory: PhysicalMemory, features: Features, space: Space, second: Tables | null): Tables {
  return {
    memory,
    ...space.first,
    read: firstStageReader(features),
    locate: second === null ? (address) => address : (address) => throughSecond(second, address),
    signBits: 12 + 9 * space.first.levels,
  };
}

function throughSecond(second: Tables, address: bigint): bigint | null {
  const leaf = lookup(second, address);
  return leaf === null || (leaf.permissions & PERMISSION.READ) === 0 ? null : leaf.pa + (address - leaf.iova);
}

/** A first-stage leaf cut along the second stage's pages. */
function* cut(leaf: DumpMapping, second: Tables): Generator<DumpMapping> {
  for (let offset = 0n; offset < leaf.size; ) {
    const below = lookup(second, leaf.pa + offset);
    const size = MIN(leaf.size, below?.size ?? 4096n);
    const permissions = leaf.permissions & (below?.permissions ?? 0);
    if (below !== null && permissions !== 0) {
      const pa = below.pa + (leaf.pa + offset - below.iova);
      yield { iova: leaf.iova + offset, pa, size, pageSize: size, permissions };
    }
    offset += size;
  }
}

/** Everything a space maps, ascending by input address. */
export function* spaceMappings(
  memory: PhysicalMemory,
  features: Features,
  space: Space,
  ssirwe: boolean,
): Generator<DumpMapping> {
  const second = secondTables(memory, features, space, ssirwe);
  if (space.pgtt === PGTT.SECOND_STAGE) {
    const limit = 1n << BigInt(features.mgaw);
    for (const leaf of leaves(second)) if (leaf.iova < limit) yield leaf;
  } else if (space.pgtt === PGTT.FIRST_STAGE) {
    yield* leaves(firstTables(memory, features, space, null));
  } else {
    for (const leaf of leaves(firstTables(memory, features, space, second))) yield* cut(leaf, second);
  }
}
