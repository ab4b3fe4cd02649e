export { emptyGather, type FormatConfig, type LiteralEntry, type PageTableCase, pageTableCases } from './cases.ts';
export { TestMemory } from './memory.ts';
