import { type Field, type Fields, maskOf, type Values } from './field.ts';

/** A run of bits found set although no field claims them. */
export interface ReservedBits {
  readonly msb: number;
  readonly lsb: number;
  /** The bits' value, shifted down. */
  readonly value: bigint;
}

export interface LayoutOptions {
  /** Bits the hardware must not look at: neither fields nor reserved, as `[msb, lsb]`. */
  readonly ignored?: readonly (readonly [number, number])[];
}

/** Words of a structure: 32-bit, little-endian, lowest address first. */
export type Words = Uint32Array;

/**
 * A structure declared once. Everything else is derived: encode, decode, the reserved-bit check and the printed form.
 * Decoding never throws: what arrives from memory is an open set.
 */
export class Layout<S extends Fields = Fields> {
  readonly name: string;
  /** Manual and section, for example `IHI 0070 5.2`. */
  readonly spec: string;
  readonly bits: number;
  readonly fields: S;
  readonly #claimed: BigUint64Array;

  constructor(name: string, spec: string, bits: number, fields: S, options: LayoutOptions = {}) {
    this.name = name;
    this.spec = spec;
    this.bits = bits;
    this.fields = fields;
    this.#claimed = new BigUint64Array(Math.ceil(bits / 64));
    for (const [key, field] of Object.entries(fields)) this.#claim(key, field);
    for (const [msb, lsb] of options.ignored ?? [])
      this.#claim(`ignored[${msb}:${lsb}]`, { kind: 'big', msb, lsb, names: {} });
  }

  get bytes(): number {
    return this.bits / 8;
  }

  /** Words with the given fields set and every other bit zero. Throws RangeError when a value does not fit. */
  encode(values: Partial<Values<S>> = {}): Words {
    const words = new Uint32Array(Math.ceil(this.bits / 32));
    for (const [key, value] of Object.entries(values)) this.#put(words, key, value as boolean | number | bigint);
    return words;
  }

  /** Every field of the structure that starts at `words[base]`. */
  decode(words: ArrayLike<number>, base = 0): Values<S> {
    const out: Record<string, boolean | number | bigint> = {};
    for (const [key, field] of Object.entries(this.fields)) out[key] = take(field, words, base);
    return out as Values<S>;
  }

  /** One field, typed. For code that is not hot; hot code takes a {@link reader}. */
  get<K extends keyof S & string>(words: ArrayLike<number>, key: K, base = 0): Values<S>[K] {
    return take(this.fields[key] as Field, words, base) as Values<S>[K];
  }

  /** Mnemonics of the decoded values that have one. */
  labels(words: ArrayLike<number>, base = 0): Record<string, string> {
    const out: Record<string, string> = {};
    for (const [key, field] of Object.entries(this.fields)) {
      const label = field.kind === 'uint' ? field.names[take(field, words, base) as number] : undefined;
      if (label !== undefined) out[key] = label;
    }
    return out;
  }

  /** Runs of bits that are set but belong to no field; empty for a clean structure. */
  reserved(words: ArrayLike<number>, base = 0): ReservedBits[] {
    const found: ReservedBits[] = [];
    for (let word = 0; word < this.#claimed.length; word++) {
      const stray = word64(words, base + word * 2) & ~this.#claimed[word]!;
      if (stray !== 0n) found.push(...runs(stray, word * 64));
    }
    return found;
  }

  /** `STE{V Config=S1_TRANS S1ContextPtr=0x80000040}`: flags by name when set, the rest when not zero. */
  format(words: ArrayLike<number>, base = 0): string {
    const parts: string[] = [];
    for (const [key, field] of Object.entries(this.fields)) {
      const value = take(field, words, base);
      if (value === true) parts.push(key);
      else if (typeof value === 'bigint' && value !== 0n) parts.push(`${key}=0x${value.toString(16)}`);
      else if (typeof value === 'number' && (value !== 0 || field.names[0]))
        parts.push(`${key}=${field.names[value] ?? value}`);
    }
    return `${this.name}{${parts.join(' ')}}`;
  }

  #claim(key: string, field: Field): void {
    if (field.msb >= this.bits) throw new RangeError(`${this.name}.${key} lies past bit ${this.bits - 1}`);
    const word = Math.floor(field.lsb / 64);
    const mask = maskOf(field);
    if ((this.#claimed[word]! & mask) !== 0n) throw new RangeError(`${this.name}.${key} overlaps another field`);
    this.#claimed[word]! |= mask;
  }

  #put(words: Words, key: string, value: boolean | number | bigint | undefined): void {
    if (value === undefined) return;
    const field = this.fields[key];
    if (!field) throw new RangeError(`${this.name} has no field ${key}`);
    const at = Math.floor(field.lsb / 64) * 2;
    const mask = maskOf(field);
    const bits = field.kind === 'addr' ? BigInt(value) : BigInt(value) << BigInt(field.lsb % 64);
    if ((bits & ~mask) !== 0n || bits < 0n) throw new RangeError(`${this.name}.${key}: ${value} does not fit`);
    const word = (word64(words, at) & ~mask) | bits;
    words[at] = Number(word & 0xffff_ffffn);
    if (at + 1 < words.length) words[at + 1] = Number(word >> 32n);
  }
}

/** Declares a structure of `bits` bits; see {@link Layout}. Overlapping fields throw at import. */
export function layout<const S extends Fields>(
  name: string,
  spec: string,
  bits: number,
  fields: S,
  options?: LayoutOptions,
): Layout<S> {
  return new Layout(name, spec, bits, fields, options);
}

function word64(words: ArrayLike<number>, at: number): bigint {
  return BigInt((words[at] ?? 0) >>> 0) | (BigInt((words[at + 1] ?? 0) >>> 0) << 32n);
}

function take(field: Field, words: ArrayLike<number>, base: number): boolean | number | bigint {
  const bits = word64(words, base + Math.floor(field.lsb / 64) * 2) & maskOf(field);
  if (field.kind === 'flag') return bits !== 0n;
  if (field.kind === 'addr') return bits;
  const value = bits >> BigInt(field.lsb % 64);
  return field.kind === 'uint' ? Number(value) : value;
}

function runs(stray: bigint, offset: number): ReservedBits[] {
  const found: ReservedBits[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (((stray >> BigInt(bit)) & 1n) === 0n) continue;
    const lsb = bit;
    while (bit < 63 && ((stray >> BigInt(bit + 1)) & 1n) !== 0n) bit++;
    const width = BigInt(bit - lsb + 1);
    found.push({ msb: offset + bit, lsb: offset + lsb, value: (stray >> BigInt(lsb)) & ((1n << width) - 1n) });
  }
  return found;
}
