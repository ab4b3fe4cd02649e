export { type VtdFeatures, vtdHardware } from './config.ts';
export type { VtdHardwareConfig } from './hardware/hardware.ts';
export { intelVtd, intelVtdModule } from './plugin.ts';
