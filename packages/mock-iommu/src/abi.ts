/**
 * The test interface of iommufd as its kernel header lays it out (`drivers/iommu/iommufd/iommufd_test.h`, Linux 7.2): one
 * command whose operation says how the bytes from 16 on are read, and the mock vendor's own formats.
 */
import { Struct, type StructFields, s32, u32, u64 } from '@iommukit/iommufd';

/** Number of IOMMU_TEST_CMD: 32 above the first native command. */
export const TEST_CMD_NUMBER = 0xa0;
const TEST_CMD_SIZE = 72;

const head = { size: u32(0), op: u32(4), id: u32(8), __reserved: u32(12) };

/** What every operation shares. `last` ends the first released layout (68 bytes). */
export const TEST_CMD = new Struct('iommu_test_cmd', TEST_CMD_SIZE, { ...head, last: u32(64) });

const layout = <F extends StructFields>(name: string, fields: F) =>
  new Struct(`iommu_test_cmd.${name}`, TEST_CMD_SIZE, { ...head, ...fields });

export const ADD_RESERVED = layout('add_reserved', { start: u64(16), length: u64(24) });
export const MOCK_DOMAIN = layout('mock_domain_flags', {
  out_stdev_id: u32(16),
  out_hwpt_id: u32(20),
  out_idev_id: u32(24),
  dev_flags: u32(28),
});
export const MOCK_DOMAIN_REPLACE = layout('mock_domain_replace', { pt_id: u32(16) });
export const CHECK_MAP = layout('check_map', { iova: u64(16), length: u64(24), uptr: u64(32) });
export const CHECK_REFS = layout('check_refs', { length: u64(16), uptr: u64(24), refs: u32(32) });
export const CREATE_ACCESS = layout('create_access', { out_access_fd: u32(16), flags: u32(20) });
export const DESTROY_ACCESS_PAGES = layout('destroy_access_pages', { access_pages_id: u32(16) });
export const ACCESS_PAGES = layout('access_pages', {
  flags: u32(16),
  out_access_pages_id: u32(20),
  iova: u64(24),
  length: u64(32),
  uptr: u64(40),
});
export const ACCESS_RW = layout('access_rw', { iova: u64(16), length: u64(24), uptr: u64(32), flags: u32(40) });
export const MEMORY_LIMIT = layout('memory_limit', { limit: u32(16) });
export const ACCESS_REPLACE_IOAS = layout('access_replace_ioas', { ioas_id: u32(16) });
export const DIRTY = layout('dirty', {
  flags: u32(16),
  iova: u64(24),
  length: u64(32),
  page_size: u64(40),
  uptr: u64(48),
  out_nr_dirty: u64(56),
});
/** Of MD_CHECK_IOTLB and DEV_CHECK_CACHE alike: the value a slot must hold. */
export const CHECK_SLOT = layout('check_slot', { slot: u32(16), value: u32(20) });
export const TRIGGER_IOPF = layout('trigger_iopf', {
  dev_id: u32(16),
  pasid: u32(20),
  grpid: u32(24),
  perm: u32(28),
  addr: u64(32),
});
export const TRIGGER_VEVENT = layout('trigger_vevent', { dev_id: u32(16) });
/** Of PASID_ATTACH and PASID_REPLACE. */
export const PASID_ATTACH = layout('pasid_attach', { pasid: u32(16), pt_id: u32(20) });
export const PASID_DETACH = layout('pasid_detach', { pasid: u32(16) });
export const PASID_CHECK = layout('pasid_check', { pasid: u32(16), hwpt_id: u32(20) });
export const DMABUF_GET = layout('dmabuf_get', { length: u32(16), open_flags: u32(20) });
export const DMABUF_REVOKE = layout('dmabuf_revoke', { dmabuf_fd: s32(16), revoked: u32(20) });

/** Operations by number. */
export const TEST_OP = {
  ADD_RESERVED: 1,
  MOCK_DOMAIN: 2,
  MD_CHECK_MAP: 3,
  MD_CHECK_REFS: 4,
  CREATE_ACCESS: 5,
  DESTROY_ACCESS_PAGES: 6,
  ACCESS_PAGES: 7,
  ACCESS_RW: 8,
  SET_TEMP_MEMORY_LIMIT: 9,
  MOCK_DOMAIN_REPLACE: 10,
  ACCESS_REPLACE_IOAS: 11,
  MOCK_DOMAIN_FLAGS: 12,
  DIRTY: 13,
  MD_CHECK_IOTLB: 14,
  TRIGGER_IOPF: 15,
  DEV_CHECK_CACHE: 16,
  TRIGGER_VEVENT: 17,
  PASID_ATTACH: 18,
  PASID_REPLACE: 19,
  PASID_DETACH: 20,
  PASID_CHECK_HWPT: 21,
  DMABUF_GET: 22,
  DMABUF_REVOKE: 23,
} as const;

/** Flags of ACCESS_PAGES, ACCESS_RW, CREATE_ACCESS and MOCK_DOMAIN_FLAGS. */
export const ACCESS_PAGES_WRITE = 1;
export const ACCESS_RW_WRITE = 1;
export const ACCESS_RW_SLOW_PATH = 4;
export const ACCESS_NEEDS_PINS = 1;
export const DEVICE_NO_DIRTY = 1;
export const DEVICE_PASID = 4;

/** Page table types of {@link HWPT_SELFTEST}: small pages in a narrow aperture, or 1 MiB leaves beside host pages. */
export const PAGE_TABLE = { DEFAULT: 0, HUGE: 1 } as const;
/** Of the default page table. */
export const MOCK_APERTURE = { start: 1n << 24n, last: (1n << 31n) - 1n } as const;
export const MOCK_PAGE_SIZE = 2048n;
export const MOCK_HUGE_PAGE_SIZE = 512n * MOCK_PAGE_SIZE;
export const MOCK_PASID_WIDTH = 20;
/** On this PASID every second set in a row fails, so that a roll-back can be watched. */
export const PASID_RESERVED = 1024;

export const MOCK_SLOTS = 4;
export const IOTLB_DEFAULT = 0xbadbeef;
export const DEV_CACHE_DEFAULT = 0xbaddad;
export const HW_QUEUE_MAX = 2;

/** Tags, out of the way of every real vendor's. */
export const MOCK_TYPE = {
  HW_INFO: 0xfeedbeef,
  HWPT_DATA: 0xdead,
  INVALIDATE: 0xdeadbeef,
  VIOMMU: 0xdeadbeef,
  VEVENTQ: 0xbeefbeef,
  HW_QUEUE: 0xdeadbeef,
} as const;
export const HW_INFO_REGISTER = 0xdeadbeef;
/** Of both kinds of invalidation entries: all slots, whatever the id says. */
export const INVALIDATE_ALL = 1;

export const HW_INFO = new Struct('iommu_test_hw_info', 8, { flags: u32(0), test_reg: u32(4) });
export const HWPT_SELFTEST = new Struct('iommu_hwpt_selftest', 8, { iotlb: u32(0), pagetable_type: u32(4) });
export const HWPT_INVALIDATE = new Struct('iommu_hwpt_invalidate_selftest', 8, { flags: u32(0), iotlb_id: u32(4) });
export const VIOMMU_SELFTEST = new Struct('iommu_viommu_selftest', 24, {
  in_data: u32(0),
  out_data: u32(4),
  out_mmap_offset: u64(8),
  out_mmap_length: u64(16),
});
export const VIOMMU_INVALIDATE = new Struct('iommu_viommu_invalidate_selftest', 12, {
  flags: u32(0),
  vdev_id: u32(4),
  cache_id: u32(8),
});
export const VIOMMU_EVENT = new Struct('iommu_viommu_event_selftest', 4, { virt_id: u32(0) });
