import { type DumpMapping, PERMISSION, type PhysicalMemory } from '@iommukit/core';
import { PGTT } from '../format/index.ts';
import type { Features } from '../hardware/features.ts';
import { firstStageReader, secondStageReader } from './entry.ts';
import { type Hole, leaves, lookup, type Tables } from './tables.ts';

/** An address space as the tables configure it. Legacy mode's is a second stage. */
export interface Space {
  readonly pgtt: number;
  readonly second: { readonly root: bigint; readonly levels: number };
  readonly first: { readonly root: bigint; readonly levels: number };
}

const self = (leaf: DumpMapping): Iterable<DumpMapping> => [leaf];
const EVERYWHERE = 1n << 64n;

function secondTables(memory: PhysicalMemory, features: Features, space: Space, ssirwe: boolean): Tables {
  return {
    memory,
    ...space.second,
    read: secondStageReader(features, ssirwe),
    locate: (address) => address,
    signBits: 64,
    limit: 1n << BigInt(features.mgaw),
    expand: self,
  };
}

function firstTables(memory: PhysicalMemory, features: Features, space: Space, second: Tables | null): Tables {
  return {
    memory,
    ...space.first,
    read: firstStageReader(features),
    locate: second === null ? (address) => address : (address) => throughSecond(second, address),
    signBits: 12 + 9 * space.first.levels,
    limit: EVERYWHERE,
    expand: second === null ? self : (leaf) => cut(leaf, second),
  };
}

const isLeaf = (found: DumpMapping | Hole): found is DumpMapping => found.permissions !== 0;

/** Beyond the aperture nothing is translated, and the walk's own index would wrap. */
function guest(second: Tables, address: bigint): DumpMapping | Hole {
  const width = 1n << BigInt(12 + 9 * second.levels);
  const end = second.limit < width ? second.limit : width;
  return address < end ? lookup(second, address) : { iova: address, size: EVERYWHERE, permissions: 0 };
}

function throughSecond(second: Tables, address: bigint): bigint | null {
  const found = guest(second, address);
  if (!isLeaf(found) || (found.permissions & PERMISSION.READ) === 0) return null;
  return found.pa + (address - found.iova);
}

/** A first-stage leaf cut along the second stage's pages. */
function* cut(leaf: DumpMapping, second: Tables): Generator<DumpMapping> {
  for (let offset = 0n; offset < leaf.size; ) {
    const address = leaf.pa + offset;
    const found = guest(second, address);
    const inPage = address - found.iova;
    const rest = found.size - inPage;
    const size = rest < leaf.size - offset ? rest : leaf.size - offset;
    const permissions = leaf.permissions & found.permissions;
    if (isLeaf(found) && permissions !== 0) {
      const pageSize = found.size < leaf.pageSize ? found.size : leaf.pageSize;
      yield { iova: leaf.iova + offset, pa: found.pa + inPage, size, pageSize, permissions };
    }
    offset += size;
  }
}

/** Everything a space maps, ascending by input address. */
export function spaceMappings(
  memory: PhysicalMemory,
  features: Features,
  space: Space,
  ssirwe: boolean,
): Iterable<DumpMapping> {
  const second = secondTables(memory, features, space, ssirwe);
  if (space.pgtt === PGTT.SECOND_STAGE) return leaves(second);
  return leaves(firstTables(memory, features, space, space.pgtt === PGTT.NESTED ? second : null));
}
