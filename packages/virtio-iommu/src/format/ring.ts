/** The split virtqueue in memory: byte offsets and flags. Virtio 1.3 §2.7. N is the queue size. */
export const DESCRIPTOR = { ADDR: 0, LEN: 8, FLAGS: 12, NEXT: 14, BYTES: 16 } as const;
/** Flags as they stand in the low half of the word that holds `flags` and `next`. */
export const DESCRIPTOR_FLAG = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** Driver area: flags u16, idx u16, ring[N] u16, used_event u16. */
export const AVAIL = { FLAGS: 0, IDX: 2, RING: 4, ENTRY_BYTES: 2, NO_INTERRUPT: 1, ALIGN: 2 } as const;
/** Device area: flags u16, idx u16, ring[N] {id u32, len u32}, avail_event u16. */
export const USED = { FLAGS: 0, IDX: 2, RING: 4, ENTRY_BYTES: 8, NO_NOTIFY: 1, ALIGN: 4 } as const;
export const DESCRIPTOR_ALIGN = 16;

export const availBytes = (size: number): number => 6 + AVAIL.ENTRY_BYTES * size;
export const usedBytes = (size: number): number => 6 + USED.ENTRY_BYTES * size;
/** Offset of `used_event`, behind the driver area's ring. */
export const usedEventAt = (size: number): number => AVAIL.RING + AVAIL.ENTRY_BYTES * size;
/** Offset of `avail_event`, behind the device area's ring. */
export const availEventAt = (size: number): number => USED.RING + USED.ENTRY_BYTES * size;

/** Largest queue the format can describe. */
export const QUEUE_SIZE_LIMIT = 32768;
