/**
 * One field of a structure, at the bit positions the manual prints: bit n lies in 32-bit word n/32 of the
 * little-endian structure. A field never crosses a 64-bit word, as in every structure of the three manuals.
 */
export type FieldKind = 'flag' | 'uint' | 'addr' | 'big';

export interface Field<K extends FieldKind = FieldKind> {
  readonly kind: K;
  /** Highest and lowest bit, inclusive, numbered over the whole structure. */
  readonly msb: number;
  readonly lsb: number;
  /** Mnemonics of encodings, for printing only; a value without a name is still a value. */
  readonly names: Readonly<Record<number, string>>;
}

type ValueOf<F> = F extends Field<'flag'> ? boolean : F extends Field<'uint'> ? number : bigint;
export type Fields = Readonly<Record<string, Field>>;
export type Values<S extends Fields> = { readonly [K in keyof S]: ValueOf<S[K]> };

function make<K extends FieldKind>(kind: K, msb: number, lsb: number, names: Field['names'] = {}): Field<K> {
  if (msb < lsb || lsb < 0) throw new RangeError(`field [${msb}:${lsb}] is empty`);
  if (Math.floor(msb / 64) !== Math.floor(lsb / 64))
    throw new RangeError(`field [${msb}:${lsb}] crosses a 64-bit word`);
  return { kind, msb, lsb, names };
}

/** A single bit; decodes to a boolean. */
export const flag = (bit: number): Field<'flag'> => make('flag', bit, bit);

/** An unsigned number of at most 32 bits, shifted down. */
export function uint(msb: number, lsb: number, names?: Field['names']): Field<'uint'> {
  if (msb - lsb >= 32) throw new RangeError(`uint [${msb}:${lsb}] is wider than 32 bits; use big()`);
  return make('uint', msb, lsb, names);
}

/** An address that stays in place: `addr(63, 12)` decodes to a value whose low 12 bits are zero. */
export const addr = (msb: number, lsb: number): Field<'addr'> => make('addr', msb, lsb);

/** An unsigned number of up to 64 bits, shifted down to bit 0; decodes to a bigint. */
export const big = (msb: number, lsb: number): Field<'big'> => make('big', msb, lsb);

/** The field's bits as a mask over its own 64-bit word. */
export function maskOf(field: Field): bigint {
  return ((1n << BigInt(field.msb - field.lsb + 1)) - 1n) << BigInt(field.lsb % 64);
}
