import { CHUNK_BYTES, CHUNK_WORDS, ChunkSource } from '../memory/chunks.ts';
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
  private readonly clean = new Map<number, Int32Array>();
  private readonly written = new Map<number, Int32Array>();

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

  chunkAt(address: number, size: number, write: boolean): Int32Array | null {
    const number = Math.floor(address / CHUNK_BYTES);
    const first = number * CHUNK_BYTES;
    const plain = this.map.covers(first, first + CHUNK_BYTES);
    const answers = plain || this.map.covers(address, address + size);
    const chunk = answers ? (this.written.get(number) ?? this.load(number)) : null;
    if (chunk === null) {
      this.lastAbort = address;
      return null;
    }
    if (write) this.keep(number, chunk);
    if (plain) this.remember(number, chunk, this.written.has(number));
    return chunk;
  }

  private load(number: number): Int32Array | null {
    const held = this.clean.get(number);
    if (held !== undefined) return held;
    const chunk = new Int32Array(CHUNK_WORDS);
    const first = number * CHUNK_BYTES;
    for (const segment of this.map.overlapping(first, first + CHUNK_BYTES))
      if (!fill(chunk, first, segment)) return null;
    if (this.clean.size >= this.limit) this.evict();
    this.clean.set(number, chunk);
    return chunk;
  }

  private evict(): void {
    for (const number of this.clean.keys()) {
      this.clean.delete(number);
      this.forget(number);
      return;
    }
  }

  private keep(number: number, chunk: Int32Array): void {
    this.clean.delete(number);
    this.written.set(number, chunk);
  }
}

/** Copies what a segment's file holds of a chunk; the rest of the segment stays zero. False: unreadable. */
function fill(chunk: Int32Array, first: number, segment: Segment): boolean {
  const from = Math.max(first, segment.start);
  const to = Math.min(first + CHUNK_BYTES, segment.start + segment.filled);
  if (from >= to) return true;
  const bytes = new Uint8Array(chunk.buffer, from - first, to - from);
  return segment.file.read(segment.position + (from - segment.start), bytes);
}
