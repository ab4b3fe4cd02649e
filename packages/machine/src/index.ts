export { PageAllocator } from './memory/allocator.ts';
export { SparseMemory } from './memory/sparse.ts';
export type { BusDevice, Region } from './memory/sparse-source.ts';
