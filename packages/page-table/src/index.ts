export type { PageTableFormat } from './format.ts';
