import { ChunkMemory } from './chunk-memory.ts';
import { ADDRESS_LIMIT, CHUNK_SHIFT, toAddress } from './chunks.ts';
import { type BusDevice, type Region, SparseSource } from './sparse-source.ts';

const ALL: readonly Region[] = [{ start: 0n, last: BigInt(ADDRESS_LIMIT) - 1n }];

/**
 * Physical memory of 52 address bits. Chunks are allocated when first written; untouched RAM reads as zero and costs
 * nothing. Outside RAM, on poisoned addresses and above bit 51 every access aborts.
 */
export class SparseMemory extends ChunkMemory {
  protected readonly bytes: SparseSource;

  /** `ram`: inclusive ranges; default all 2^52 bytes. A source shares the bytes of another memory, see {@link port}. */
  constructor(ram: readonly Region[] | SparseSource = ALL) {
    const bytes = ram instanceof SparseSource ? ram : new SparseSource(ram);
    super(bytes);
    this.bytes = bytes;
  }

  /** The same bytes through a latch (`lo`, `hi`) of its own, so that two masters cannot see each other's reads. */
  port(): SparseMemory {
    return new SparseMemory(this.bytes);
  }

  /** Makes `[start, last]` abort for everyone until {@link heal}. The bytes are kept. */
  poison(start: bigint, last: bigint): void {
    this.bytes.poison(toAddress(start), toAddress(last));
  }

  heal(): void {
    this.bytes.heal();
  }

  /** Puts a device on the bus at `[start, last]`, over RAM if there is any. Throws RangeError when one is there. */
  attachDevice(start: bigint, last: bigint, device: BusDevice): void {
    this.bytes.attach(toAddress(start), toAddress(last), device);
  }

  /** Every chunk that was written at some time, ascending; for snapshots and comparison. Bytes are a copy. */
  *written(): Generator<{ readonly start: bigint; readonly bytes: Uint8Array }> {
    const { chunks } = this.bytes;
    for (const number of [...chunks.keys()].sort((a, b) => a - b))
      yield { start: BigInt(number) << BigInt(CHUNK_SHIFT), bytes: this.bytes.bytesOf(chunks.get(number)!).slice() };
  }
}
