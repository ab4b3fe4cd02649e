import { wordsToBytes } from '@iommukit/bits';
import type { GuestKit, GuestMemory, GuestStage1, NativeData, NativeInvalidation } from '@iommukit/core';
import { GUEST_COMMAND, NESTED_DATA, OP, TOY_DATA_TYPE } from './format/commands.ts';
import { INDEX_BITS, LEVELS, PAGE_LG2, PTE } from './format/pte.ts';

const TABLE_BYTES = 8 << INDEX_BITS;
type GuestFields = Parameters<typeof GUEST_COMMAND.encode>[0];

const batch = (...commands: GuestFields[]): NativeInvalidation => {
  const bytes = new Uint8Array(commands.length * GUEST_COMMAND.bytes);
  commands.forEach((fields, i) => {
    bytes.set(wordsToBytes(GUEST_COMMAND.encode(fields)), i * GUEST_COMMAND.bytes);
  });
  return { type: TOY_DATA_TYPE, entryLength: GUEST_COMMAND.bytes, entryCount: commands.length, bytes };
};

/** A guest's table, written by the guest's own code. */
class ToyStage1 implements GuestStage1 {
  readonly data: NativeData;
  readonly #memory: GuestMemory;
  readonly #root: bigint;
  readonly #vdevice: number;

  constructor(memory: GuestMemory, virtualId: bigint) {
    this.#memory = memory;
    this.#root = memory.alloc(TABLE_BYTES);
    this.#vdevice = Number(virtualId);
    this.data = { type: TOY_DATA_TYPE, bytes: wordsToBytes(NESTED_DATA.encode({ GROOT: this.#root })) };
  }

  map(iova: bigint, gpa: bigint, writable: boolean): void {
    const leaf = PTE.encode({ P: true, LEAF: true, R: true, W: writable, X: true, ADDR: gpa });
    this.#memory.write64(this.#entry(iova), word(leaf));
  }

  unmap(iova: bigint): void {
    this.#memory.write64(this.#entry(iova), 0n);
  }

  invalidatePage(iova: bigint): NativeInvalidation {
    return batch({ OP: OP.INV_GUEST_RANGE, VDEVICE: this.#vdevice, COUNT: 0, ADDR: iova });
  }

  invalidateAll(): NativeInvalidation {
    return batch({ OP: OP.INV_GUEST, VDEVICE: this.#vdevice });
  }

  /** Where the leaf for `iova` stands; tables on the way are made. */
  #entry(iova: bigint): bigint {
    let table = this.#root;
    for (let level = LEVELS - 1; level > 0; level--) {
      const at = table + index(iova, level) * 8n;
      if (this.#memory.read64(at) === 0n)
        this.#memory.write64(at, word(PTE.encode({ P: true, ADDR: this.#memory.alloc(TABLE_BYTES) })));
      table = this.#memory.read64(at) & ~0xfffn;
    }
    return table + index(iova, 0) * 8n;
  }
}

/** The toy's guest driver; `virtual` as CAPS.VIRTUAL. */
export const toyGuest = (virtual: boolean): GuestKit => ({
  viommuType: virtual ? TOY_DATA_TYPE : null,
  createStage1: (memory, virtualId) => new ToyStage1(memory, virtual ? virtualId : 0n),
  badNestedData: () => [
    { title: 'wrong type', value: { type: 1, bytes: new Uint8Array(16) }, errno: 'EINVAL' },
    { title: 'too short', value: { type: TOY_DATA_TYPE, bytes: new Uint8Array(8) }, errno: 'EINVAL' },
    { title: 'reserved bits', value: { type: TOY_DATA_TYPE, bytes: new Uint8Array(16).fill(1) }, errno: 'EINVAL' },
  ],
  badInvalidations: (virtualId) => [
    { title: 'wrong type', value: { ...batch({ OP: OP.INV_GUEST }), type: 1 }, errno: 'EINVAL' },
    {
      title: 'a host command',
      value: batch({ OP: OP.INV_TAG, VDEVICE: virtual ? Number(virtualId) : 0 }),
      errno: 'EIO',
    },
    { title: 'unknown device', value: batch({ OP: OP.INV_GUEST, VDEVICE: 0xffff }), errno: 'EIO' },
  ],
});

const index = (iova: bigint, level: number): bigint =>
  (iova >> BigInt(PAGE_LG2 + level * INDEX_BITS)) & ((1n << BigInt(INDEX_BITS)) - 1n);

const word = (words: Uint32Array): bigint => BigInt(words[0]!) | (BigInt(words[1]!) << 32n);
