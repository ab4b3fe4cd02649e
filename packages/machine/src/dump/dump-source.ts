import { CHUNK_BYTES, ChunkSource, NO_CHUNK } from '../memory/chunks.ts';
import type { Segment, SegmentMap } from './segments.ts';

/**
 * Chunks read from dump files when asked for. Clean ones are dropped again, oldest first, when there are too many; a
 * chunk that was written stays, and is the only place the write exists.
 */
export class DumpChunks extends ChunkSource {
  /** Where the last access aborted; null: none did. */
  lastAbort: number | null = null;
  private readonly map: SegmentMap;
  private readonly limit: number;
  private readonly clean = new Map<number, number>();
  private readonly written = new Map<number, number>();

  /** `limit`: clean chunks kept at most. */
  constructor(map: SegmentMap, limit: number) {
    super();
    this.map = map;
    this.limit = limit;
  }

  /** Chunks of file data held in memory now, clean and written. */
  get cached(): number {
    return this.clean.size + this.written.size;
  }

  chunkAt(address: number, size: number, write: boolean): number {
    const number = Math.floor(address / CHUNK_BYTES);
    const first = number * CHUNK_BYTES;
    const plain = this.map.covers(first, first + CHUNK_BYTES);
    const answers = plain || this.map.covers(address, address + size);
    const chunk = answers ? (this.written.get(number) ?? this.load(number)) : NO_CHUNK;
    if (chunk === NO_CHUNK) {
      this.lastAbort = address;
      return NO_CHUNK;
    }
    if (write) this.keep(number, chunk);
    if (plain) this.remember(number, chunk, this.written.has(number));
    return chunk;
  }

  private load(number: number): number {
    const held = this.clean.get(number);
    if (held !== undefined) return held;
    if (this.clean.size >= this.limit) this.evict();
    const chunk = this.take();
    const first = number * CHUNK_BYTES;
    for (const segment of this.map.overlapping(first, first + CHUNK_BYTES)) {
      if (fill(this.bytesOf(chunk), first, segment)) continue;
      this.giveBack(chunk);
      return NO_CHUNK;
    }
    this.clean.set(number, chunk);
    return chunk;
  }

  private evict(): void {
    for (const [number, chunk] of this.clean) {
      this.clean.delete(number);
      this.forget(number);
      this.giveBack(chunk);
      return;
    }
  }

  private keep(number: number, chunk: number): void {
    this.clean.delete(number);
    this.written.set(number, chunk);
  }
}

/** Copies what a segment's file holds of a chunk; the rest of the segment stays zero. False: unreadable. */
function fill(chunk: Uint8Array, first: number, segment: Segment): boolean {
  const from = Math.max(first, segment.start);
  const to = Math.min(first + CHUNK_BYTES, segment.start + segment.filled);
  if (from >= to) return true;
  return segment.file.read(segment.position + (from - segment.start), chunk.subarray(from - first, to - first));
}
