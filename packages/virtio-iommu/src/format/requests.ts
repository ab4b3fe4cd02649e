import { big, flag, layout, uint } from '@iommukit/bits';

/** Request types. Virtio 1.3 §5.13.6. */
export const REQUEST = { ATTACH: 1, DETACH: 2, MAP: 3, UNMAP: 4, PROBE: 5 } as const;
export type RequestName = keyof typeof REQUEST;

/** Status codes of the tail. */
export const REQUEST_STATUS = {
  OK: 0,
  IOERR: 1,
  UNSUPP: 2,
  DEVERR: 3,
  INVAL: 4,
  RANGE: 5,
  NOENT: 6,
  FAULT: 7,
  NOMEM: 8,
} as const;
export type RequestStatus = (typeof REQUEST_STATUS)[keyof typeof REQUEST_STATUS];

const TYPE_NAMES = { 1: 'ATTACH', 2: 'DETACH', 3: 'MAP', 4: 'UNMAP', 5: 'PROBE' };
const STATUS_NAMES = {
  0: 'OK',
  1: 'IOERR',
  2: 'UNSUPP',
  3: 'DEVERR',
  4: 'INVAL',
  5: 'RANGE',
  6: 'NOENT',
  7: 'FAULT',
  8: 'NOMEM',
} as const;

/** The manual's name of a status without its prefix, or undefined for a number it does not define. */
export const statusName = (status: number): string | undefined => (STATUS_NAMES as Record<number, string>)[status];

/** Bytes 1 to 3 of every head: reserved and ignored by the device. */
const HEAD = { ignored: [[31, 8]] } as const;
const type = uint(7, 0, TYPE_NAMES);

/** Readable part of each request, device-written part excluded. */
export const ATTACH = layout(
  'VIRTIO_IOMMU_T_ATTACH',
  'virtio 1.3 5.13.6.3',
  160,
  { type, domain: uint(63, 32), endpoint: uint(95, 64), BYPASS: flag(96) },
  HEAD,
);

/** Unlike ATTACH, its reserved words are ignored. */
export const DETACH = layout(
  'VIRTIO_IOMMU_T_DETACH',
  'virtio 1.3 5.13.6.4',
  160,
  { type, domain: uint(63, 32), endpoint: uint(95, 64) },
  { ignored: [...HEAD.ignored, [127, 96], [159, 128]] },
);

/** `virt_end` is inclusive. */
export const MAP = layout(
  'VIRTIO_IOMMU_T_MAP',
  'virtio 1.3 5.13.6.5',
  288,
  {
    type,
    domain: uint(63, 32),
    virt_start: big(127, 64),
    virt_end: big(191, 128),
    phys_start: big(255, 192),
    READ: flag(256),
    WRITE: flag(257),
    MMIO: flag(258),
  },
  HEAD,
);

export const UNMAP = layout(
  'VIRTIO_IOMMU_T_UNMAP',
  'virtio 1.3 5.13.6.6',
  224,
  { type, domain: uint(63, 32), virt_start: big(127, 64), virt_end: big(191, 128) },
  HEAD,
);

/** 64 reserved bytes follow the endpoint; all ignored. */
export const PROBE = layout(
  'VIRTIO_IOMMU_T_PROBE',
  'virtio 1.3 5.13.6.7',
  576,
  { type, endpoint: uint(63, 32) },
  { ignored: [...HEAD.ignored, ...Array.from({ length: 8 }, (_, i) => [127 + 64 * i, 64 + 64 * i] as const)] },
);

/** The last four device-written bytes of every request. */
export const TAIL = layout('tail', 'virtio 1.3 5.13.6', 32, { status: uint(7, 0, STATUS_NAMES) });
export const HEAD_BYTES = 4;
export const TAIL_BYTES = 4;

export const REQUEST_LAYOUTS = { ATTACH, DETACH, MAP, UNMAP, PROBE } as const;

/** Flag bits of the requests that have flags. */
export const ATTACH_FLAG = { BYPASS: 1 } as const;
export const MAP_FLAG = { READ: 1, WRITE: 2, MMIO: 4 } as const;

/** Indices of 32-bit words (low halves of 64-bit fields), for code that takes requests apart without decoding them. */
export const ATTACH_WORD = { DOMAIN: 1, ENDPOINT: 2, FLAGS: 3, RESERVED: 4 } as const;
export const DETACH_WORD = { DOMAIN: 1, ENDPOINT: 2 } as const;
export const MAP_WORD = { DOMAIN: 1, VIRT_START: 2, VIRT_END: 4, PHYS_START: 6, FLAGS: 8 } as const;
export const UNMAP_WORD = { DOMAIN: 1, VIRT_START: 2, VIRT_END: 4, RESERVED: 6 } as const;
export const PROBE_WORD = { ENDPOINT: 1 } as const;
