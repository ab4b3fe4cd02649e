export { main } from './main.ts';
export type { CliIo } from './output/output.ts';
