/** Structures of VFIO's container (type 1) and device interface, as `include/uapi/linux/vfio.h` lays them out. */
import { Struct, s32, u16, u32, u64 } from './struct.ts';

const argsz = u32(0);
const flags = u32(4);

export const TYPE1_INFO = new Struct('vfio_iommu_type1_info', 24, {
  argsz,
  flags,
  iova_pgsizes: u64(8),
  cap_offset: u32(16),
  pad: u32(20),
});
export const TYPE1_DMA_MAP = new Struct('vfio_iommu_type1_dma_map', 32, {
  argsz,
  flags,
  vaddr: u64(8),
  iova: u64(16),
  size: u64(24),
});
export const TYPE1_DMA_UNMAP = new Struct('vfio_iommu_type1_dma_unmap', 24, {
  argsz,
  flags,
  iova: u64(8),
  size: u64(16),
});
const header = { id: u16(0), version: u16(2), next: u32(4) };
export const CAP_DMA_AVAIL = new Struct('vfio_iommu_type1_info_dma_avail', 12, { ...header, avail: u32(8) });
export const CAP_IOVA_RANGE = new Struct('vfio_iommu_type1_info_cap_iova_range', 16, {
  ...header,
  nr_iovas: u32(8),
  reserved: u32(12),
});
export const IOVA_RANGE = new Struct('vfio_iova_range', 16, { start: u64(0), end: u64(8) });

export const BIND_IOMMUFD = new Struct('vfio_device_bind_iommufd', 16, {
  argsz,
  flags,
  iommufd: s32(8),
  out_devid: u32(12),
});
export const ATTACH_IOMMUFD_PT = new Struct('vfio_device_attach_iommufd_pt', 16, {
  argsz,
  flags,
  pt_id: u32(8),
  pasid: u32(12),
});
export const DETACH_IOMMUFD_PT = new Struct('vfio_device_detach_iommufd_pt', 12, { argsz, flags, pasid: u32(8) });
