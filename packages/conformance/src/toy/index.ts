export { EVERYTHING, NOTHING, type ToyHardwareConfig } from './config.ts';
export { toyOnParent, toyVendor } from './plugin.ts';
