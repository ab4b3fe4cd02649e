import type { PageSource, PhysicalExtent } from './source.ts';

/** Memory a device driver exports. The exporter may take it back at any time. */
export interface DmaBuf {
  /** Bytes. */
  readonly size: bigint;
  /** False: an exporter whose memory cannot be had as physical pages (EOPNOTSUPP). */
  readonly supported: boolean;
  /** New mappings answer ENODEV. */
  readonly revoked: boolean;
  /** The memory as it stands now; a revocation makes this very source dead for good. */
  readonly source: PageSource;
}

/** A dma-buf over physical memory that an exporter holds, whole pages. */
export class ExportedDmaBuf implements DmaBuf {
  readonly size: bigint;
  readonly supported = true;
  readonly #extents: readonly PhysicalExtent[];
  #revoked = false;
  #source: DmaBufSource;

  constructor(extents: readonly PhysicalExtent[]) {
    this.#extents = extents;
    this.size = extents.reduce((sum, { length }) => sum + length, 0n);
    this.#source = new DmaBufSource(extents);
  }

  get revoked(): boolean {
    return this.#revoked;
  }

  get source(): PageSource {
    return this.#source;
  }

  /** Takes the memory back, or offers it again. Either way every mapping there is now is gone for good. */
  setRevoked(revoked: boolean): void {
    this.#revoked = revoked;
    this.#source.revoke();
    this.#source = new DmaBufSource(this.#extents);
  }
}

/** The memory between two revocations. */
class DmaBufSource implements PageSource {
  readonly kind = 'dma-buf';
  readonly #extents: readonly PhysicalExtent[];
  readonly #watchers = new Set<() => void>();
  #revoked = false;

  constructor(extents: readonly PhysicalExtent[]) {
    this.#extents = extents;
  }

  get revoked(): boolean {
    return this.#revoked;
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  revoke(): void {
    for (const listener of [...this.#watchers]) listener();
    this.#watchers.clear();
    this.#revoked = true;
  }

  pin(offset: bigint, length: bigint): readonly PhysicalExtent[] {
    return sliceExtents(this.#extents, offset, length);
  }

  unpin(): void {}

  /** Its memory is not for the host to touch. */
  read(): boolean {
    return false;
  }

  write(): boolean {
    return false;
  }
}

/** The part `[offset, offset + length)` of memory that is a list of extents. */
export function sliceExtents(extents: readonly PhysicalExtent[], offset: bigint, length: bigint): PhysicalExtent[] {
  const out: PhysicalExtent[] = [];
  const end = offset + length;
  let at = 0n;
  for (const extent of extents) {
    const from = at > offset ? at : offset;
    const to = at + extent.length < end ? at + extent.length : end;
    if (from < to) out.push({ pa: extent.pa + (from - at), length: to - from });
    at += extent.length;
  }
  return out;
}
