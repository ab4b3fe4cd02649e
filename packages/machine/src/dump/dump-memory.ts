import { ChunkMemory } from '../memory/chunk-memory.ts';
import { ADDRESS_LIMIT, CHUNK_BYTES } from '../memory/chunks.ts';
import type { Region } from '../memory/sparse-source.ts';
import { DumpChunks } from './dump-source.ts';
import { elfSegments } from './elf.ts';
import { DumpError } from './error.ts';
import { DumpFile } from './file.ts';
import { type Segment, SegmentMap } from './segments.ts';

/** An ELF64 core file, or with `base` raw bytes that stand at that physical address. */
export interface DumpSource {
  readonly file: string;
  readonly base?: bigint;
}

export interface DumpMemoryOptions {
  /** Bytes of the dump held in memory at most, writes not counted; default 64 MiB. */
  readonly cacheBytes?: number;
}

/**
 * Physical memory out of dump files. Read as it is asked for, never whole; addresses that no segment holds abort; what
 * is written stays in an overlay and never reaches a file. Where files or segments overlap, the first one named wins.
 */
export class DumpMemory extends ChunkMemory {
  readonly #chunks: DumpChunks;
  readonly #map: SegmentMap;
  readonly #files: readonly DumpFile[];

  private constructor(chunks: DumpChunks, map: SegmentMap, files: readonly DumpFile[]) {
    super(chunks);
    this.#chunks = chunks;
    this.#map = map;
    this.#files = files;
  }

  /** Throws {@link DumpError} for a file that cannot be read or is malformed. */
  static open(sources: readonly DumpSource[], options: DumpMemoryOptions = {}): DumpMemory {
    const files: DumpFile[] = [];
    try {
      const map = new SegmentMap();
      for (const { file: name, base } of sources) {
        const file = new DumpFile(name);
        files.push(file);
        for (const segment of base === undefined ? elfSegments(file) : [rawSegment(file, base)]) map.add(segment);
      }
      const limit = Math.max(1, Math.floor((options.cacheBytes ?? 64 << 20) / CHUNK_BYTES));
      return new DumpMemory(new DumpChunks(map, limit), map, files);
    } catch (error) {
      for (const file of files) file.close();
      throw error;
    }
  }

  /** The addresses that are there, ascending; neighbours of different origin are not joined. */
  get regions(): readonly Region[] {
    return this.#map.segments.map(({ start, end }) => ({ start: BigInt(start), last: BigInt(end) - 1n }));
  }

  /** Where the last access aborted, for a report; null when none did. Addresses past bit 51 do not count. */
  get lastAbort(): bigint | null {
    const { lastAbort } = this.#chunks;
    return lastAbort === null ? null : BigInt(lastAbort);
  }

  /** Bytes of the dump held in memory now. */
  get cachedBytes(): number {
    return this.#chunks.cached * CHUNK_BYTES;
  }

  /** Closes the files. Reads of what is not cached abort from then on. */
  close(): void {
    for (const file of this.#files) file.close();
  }
}

function rawSegment(file: DumpFile, base: bigint): Segment {
  if (file.size === 0) throw new DumpError(file.name, null, 'empty file');
  if (base < 0n || base + BigInt(file.size) > BigInt(ADDRESS_LIMIT))
    throw new DumpError(file.name, null, `0x${file.size.toString(16)} bytes at ${base} reach past bit 51`);
  const start = Number(base);
  return { start, end: start + file.size, file, position: 0, filled: file.size };
}
