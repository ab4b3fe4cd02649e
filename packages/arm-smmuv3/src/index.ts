export type { SmmuConfig } from './config.ts';
export { armSmmuV3, armSmmuV3Module } from './plugin.ts';
