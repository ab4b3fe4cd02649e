import { virtioIommu } from '@iommukit/virtio-iommu';

/** A vendor whose unit cannot even be built. */
export const broken = {
  ...virtioIommu,
  id: 'broken',
  configs: virtioIommu.configs.map((config) => ({ ...config })),
  createHardware(): never {
    throw new Error('this one is broken');
  },
};
