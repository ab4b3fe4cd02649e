/** Structures of the native commands, as `include/uapi/linux/iommufd.h` of Linux 7.2 lays them out. */
import { Struct, s32, u8, u16, u32, u64 } from './struct.ts';

const size = u32(0);

export const DESTROY = new Struct('iommu_destroy', 8, { size, id: u32(4) });
export const IOAS_ALLOC = new Struct('iommu_ioas_alloc', 12, { size, flags: u32(4), out_ioas_id: u32(8) });
export const IOVA_RANGE = new Struct('iommu_iova_range', 16, { start: u64(0), last: u64(8) });
export const IOAS_ALLOW_IOVAS = new Struct('iommu_ioas_allow_iovas', 24, {
  size,
  ioas_id: u32(4),
  num_iovas: u32(8),
  __reserved: u32(12),
  allowed_iovas: u64(16),
});
export const IOAS_COPY = new Struct('iommu_ioas_copy', 40, {
  size,
  flags: u32(4),
  dst_ioas_id: u32(8),
  src_ioas_id: u32(12),
  length: u64(16),
  dst_iova: u64(24),
  src_iova: u64(32),
});
export const IOAS_IOVA_RANGES = new Struct('iommu_ioas_iova_ranges', 32, {
  size,
  ioas_id: u32(4),
  num_iovas: u32(8),
  __reserved: u32(12),
  allowed_iovas: u64(16),
  out_iova_alignment: u64(24),
});
export const IOAS_MAP = new Struct('iommu_ioas_map', 40, {
  size,
  flags: u32(4),
  ioas_id: u32(8),
  __reserved: u32(12),
  user_va: u64(16),
  length: u64(24),
  iova: u64(32),
});
export const IOAS_UNMAP = new Struct('iommu_ioas_unmap', 24, { size, ioas_id: u32(4), iova: u64(8), length: u64(16) });
export const OPTION = new Struct('iommu_option', 24, {
  size,
  option_id: u32(4),
  op: u16(8),
  __reserved: u16(10),
  object_id: u32(12),
  val64: u64(16),
});
export const VFIO_IOAS = new Struct('iommu_vfio_ioas', 12, { size, ioas_id: u32(4), op: u16(8), __reserved: u16(10) });
export const HWPT_ALLOC = new Struct('iommu_hwpt_alloc', 48, {
  size,
  flags: u32(4),
  dev_id: u32(8),
  pt_id: u32(12),
  out_hwpt_id: u32(16),
  __reserved: u32(20),
  data_type: u32(24),
  data_len: u32(28),
  data_uptr: u64(32),
  fault_id: u32(40),
  __reserved2: u32(44),
});
export const GET_HW_INFO = new Struct('iommu_hw_info', 40, {
  size,
  flags: u32(4),
  dev_id: u32(8),
  data_len: u32(12),
  data_uptr: u64(16),
  /** In with INPUT_TYPE, out always. */
  out_data_type: u32(24),
  out_max_pasid_log2: u8(28),
  __reserved0: u8(29),
  __reserved1: u8(30),
  __reserved2: u8(31),
  out_capabilities: u64(32),
});
export const HWPT_SET_DIRTY_TRACKING = new Struct('iommu_hwpt_set_dirty_tracking', 16, {
  size,
  flags: u32(4),
  hwpt_id: u32(8),
  __reserved: u32(12),
});
export const HWPT_GET_DIRTY_BITMAP = new Struct('iommu_hwpt_get_dirty_bitmap', 48, {
  size,
  hwpt_id: u32(4),
  flags: u32(8),
  __reserved: u32(12),
  iova: u64(16),
  length: u64(24),
  page_size: u64(32),
  data: u64(40),
});
export const HWPT_INVALIDATE = new Struct('iommu_hwpt_invalidate', 32, {
  size,
  hwpt_id: u32(4),
  data_uptr: u64(8),
  data_type: u32(16),
  entry_len: u32(20),
  entry_num: u32(24),
  __reserved: u32(28),
});
export const FAULT_QUEUE_ALLOC = new Struct('iommu_fault_alloc', 16, {
  size,
  flags: u32(4),
  out_fault_id: u32(8),
  out_fault_fd: u32(12),
});
export const IOAS_MAP_FILE = new Struct('iommu_ioas_map_file', 40, {
  size,
  flags: u32(4),
  ioas_id: u32(8),
  fd: s32(12),
  start: u64(16),
  length: u64(24),
  iova: u64(32),
});
export const VIOMMU_ALLOC = new Struct('iommu_viommu_alloc', 40, {
  size,
  flags: u32(4),
  type: u32(8),
  dev_id: u32(12),
  hwpt_id: u32(16),
  out_viommu_id: u32(20),
  data_len: u32(24),
  __reserved: u32(28),
  data_uptr: u64(32),
});
export const VDEVICE_ALLOC = new Struct('iommu_vdevice_alloc', 24, {
  size,
  viommu_id: u32(4),
  dev_id: u32(8),
  out_vdevice_id: u32(12),
  virt_id: u64(16),
});
export const IOAS_CHANGE_PROCESS = new Struct('iommu_ioas_change_process', 8, { size, __reserved: u32(4) });
export const VEVENTQ_ALLOC = new Struct('iommu_veventq_alloc', 32, {
  size,
  flags: u32(4),
  viommu_id: u32(8),
  type: u32(12),
  veventq_depth: u32(16),
  out_veventq_id: u32(20),
  out_veventq_fd: u32(24),
  __reserved: u32(28),
});
export const HW_QUEUE_ALLOC = new Struct('iommu_hw_queue_alloc', 40, {
  size,
  flags: u32(4),
  viommu_id: u32(8),
  type: u32(12),
  index: u32(16),
  out_hw_queue_id: u32(20),
  nesting_parent_iova: u64(24),
  length: u64(32),
});
