/**
 * A register frame declared as data: offset, size, reset value, which bits software may write and which it clears by
 * writing one. What a register *does* is one named effect each, so nobody writes a long `switch` over offsets.
 */
export interface RegisterDeclaration {
  /** Byte offset in the frame. */
  readonly at: number;
  readonly size: 4 | 8;
  /** Value after reset; default 0. */
  readonly reset?: bigint;
  /** Bits software may write; absent means read-only. */
  readonly writable?: bigint;
  /** Bits that a written 1 clears. They must not be in `writable` too. */
  readonly clearOnOne?: bigint;
  /** Name of the guard that must hold, or the write is ignored. */
  readonly guard?: string;
  /** Reads return 0 (write-only command registers). */
  readonly writeOnly?: boolean;
}

export type RegisterTable = Readonly<Record<string, RegisterDeclaration>>;

/** Runs after software wrote the register. `was` holds the register's halves before the write. */
export type RegisterEffect = (wasLo: number, wasHi: number) => void;

export interface RegisterBehaviour<T extends RegisterTable> {
  readonly effects?: Partial<Record<keyof T & string, RegisterEffect>>;
  readonly guards?: Readonly<Record<string, () => boolean>>;
}

interface Slot {
  readonly name: string;
  readonly at: number;
  readonly size: 4 | 8;
  readonly guard: (() => boolean) | undefined;
  readonly effect: RegisterEffect | undefined;
  readonly writeOnly: boolean;
}

/**
 * The register file of one unit. Software's side is `read32 … write64` (byte offsets); the model's own side is
 * `get`/`set`, which know no masks, no guards and cause no effects, and `words`/`index` for hot code.
 * Accesses that are misaligned or touch no declared register read 0 and write nothing.
 */
export class RegisterFile<T extends RegisterTable = RegisterTable> {
  readonly table: T;
  readonly bytes: number;
  /** The frame as signed 32-bit words, for the model's hot paths. */
  readonly words: Int32Array;
  readonly #slots: (Slot | undefined)[];
  readonly #writable: Int32Array;
  readonly #clearOnOne: Int32Array;

  constructor(table: T, bytes: number, behaviour: RegisterBehaviour<T> = {}) {
    this.table = table;
    this.bytes = bytes;
    this.words = new Int32Array(bytes / 4);
    this.#slots = new Array(bytes / 4);
    this.#writable = new Int32Array(bytes / 4);
    this.#clearOnOne = new Int32Array(bytes / 4);
    for (const [name, register] of Object.entries(table)) this.#declare(name, register, behaviour);
    this.reset();
  }

  /** Every register back to its reset value; no effect runs. */
  reset(): void {
    this.words.fill(0);
    for (const [name, register] of Object.entries(this.table)) this.set(name, register.reset ?? 0n);
  }

  /** The word index of a register in {@link words}; a 64-bit register's high half is the next word. */
  index(name: keyof T & string): number {
    return this.#lookup(name).at / 4;
  }

  get(name: keyof T & string): bigint {
    const { at, size } = this.#lookup(name);
    const lo = BigInt(this.words[at / 4]! >>> 0);
    return size === 4 ? lo : lo | (BigInt(this.words[at / 4 + 1]! >>> 0) << 32n);
  }

  set(name: keyof T & string, value: bigint): void {
    const { at, size } = this.#lookup(name);
    this.words[at / 4] = Number(BigInt.asIntN(32, value));
    if (size === 8) this.words[at / 4 + 1] = Number(BigInt.asIntN(32, value >> 32n));
  }

  /** Raw bytes of the frame, for instance from a dump. Shorter input leaves the rest as it is. */
  load(frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const words = Math.min(this.words.length, frame.byteLength >> 2);
    for (let i = 0; i < words; i++) this.words[i] = view.getInt32(i * 4, true);
  }

  read32(offset: number): number {
    const slot = this.#at(offset, 4);
    return slot === undefined || slot.writeOnly ? 0 : this.words[offset / 4]! >>> 0;
  }

  read64(offset: number): bigint {
    if (offset % 8 !== 0) return 0n;
    return BigInt(this.read32(offset)) | (BigInt(this.read32(offset + 4)) << 32n);
  }

  write32(offset: number, value: number): void {
    const slot = this.#at(offset, 4);
    if (slot === undefined || (slot.guard !== undefined && !slot.guard())) return;
    const word = slot.at / 4;
    const wasLo = this.words[word]!;
    const wasHi = slot.size === 8 ? this.words[word + 1]! : 0;
    this.#store(offset / 4, value | 0);
    slot.effect?.(wasLo, wasHi);
  }

  write64(offset: number, value: bigint): void {
    const slot = this.#at(offset, 8);
    if (slot === undefined) return;
    if (slot.size === 4 || slot.at !== offset) {
      this.write32(offset, Number(BigInt.asUintN(32, value)));
      this.write32(offset + 4, Number(BigInt.asUintN(32, value >> 32n)));
      return;
    }
    if (slot.guard !== undefined && !slot.guard()) return;
    const word = offset / 4;
    const wasLo = this.words[word]!;
    const wasHi = this.words[word + 1]!;
    this.#store(word, Number(BigInt.asIntN(32, value)));
    this.#store(word + 1, Number(BigInt.asIntN(32, value >> 32n)));
    slot.effect?.(wasLo, wasHi);
  }

  #store(word: number, value: number): void {
    const writable = this.#writable[word]!;
    const kept = this.words[word]! & ~writable & ~(value & this.#clearOnOne[word]!);
    this.words[word] = kept | (value & writable);
  }

  #at(offset: number, size: number): Slot | undefined {
    return offset % size === 0 && offset >= 0 && offset + size <= this.bytes ? this.#slots[offset / 4] : undefined;
  }

  #lookup(name: string): RegisterDeclaration {
    const register = this.table[name];
    if (!register) throw new RangeError(`no register ${name}`);
    return register;
  }

  #declare(name: string, register: RegisterDeclaration, behaviour: RegisterBehaviour<T>): void {
    const { at, size, writable = 0n, clearOnOne = 0n } = register;
    if ((writable & clearOnOne) !== 0n) throw new RangeError(`${name}: a bit is both writable and clear-on-one`);
    const guard = register.guard === undefined ? undefined : behaviour.guards?.[register.guard];
    if (register.guard !== undefined && !guard) throw new RangeError(`${name}: no guard ${register.guard}`);
    const slot: Slot = {
      name,
      at,
      size,
      guard,
      effect: behaviour.effects?.[name],
      writeOnly: register.writeOnly ?? false,
    };
    for (let word = 0; word < size / 4; word++) {
      const index = at / 4 + word;
      if (this.#slots[index]) throw new RangeError(`${name} overlaps ${this.#slots[index].name}`);
      this.#slots[index] = slot;
      this.#writable[index] = Number(BigInt.asIntN(32, writable >> BigInt(32 * word)));
      this.#clearOnOne[index] = Number(BigInt.asIntN(32, clearOnOne >> BigInt(32 * word)));
    }
  }
}
