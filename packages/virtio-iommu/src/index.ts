export type { ReservedSetting, VirtioIommuHardware } from './hardware/settings.ts';
export { virtioIommu, virtioIommuModule } from './plugin.ts';
