export { EVERYTHING, NOTHING, type ToyHardwareConfig } from './hardware/config.ts';
export { toyOnParent, toyVendor } from './plugin.ts';
