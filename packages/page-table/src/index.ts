export type { PageTableFormat } from './format.ts';
export { type EntryView, inputBitsOf, pageSizesOf, RadixTable } from './radix.ts';
