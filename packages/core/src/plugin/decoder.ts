/** One native structure, command, descriptor, request or record, taken apart. JSON-ready except for bigints. */
export interface DecodedEntry {
  readonly kind: string;
  /** The manual's mnemonic, or `UNKNOWN`. */
  readonly name: string;
  /** Field names are the manual's; addresses and wide numbers are bigint. */
  readonly fields: Readonly<Record<string, boolean | number | bigint | string>>;
  /** Mnemonics of field values that have one (`{ TG: '4K' }`), for people; the values in `fields` stay numbers. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Hex in memory order. */
  readonly raw: string;
  /** Reserved bits found set, as `[msb:lsb]=0xvalue`. */
  readonly reserved: readonly string[];
  /** Why this is not a legal encoding; empty when it is. */
  readonly problems: readonly string[];
}

export interface NativeDecoder {
  /** Kinds that {@link decode} takes, in the order a person would list them. */
  readonly kinds: readonly string[];
  /** Size of one entry in bytes; kinds with several sizes list them all, smallest first. */
  sizes(kind: string): readonly number[];
  /** Kinds whose entries may have any length, {@link sizes} being the usual ones; absent: none. */
  readonly anyLength?: readonly string[];
  /** Never throws for a size from {@link sizes}: anything that is not legal is `UNKNOWN` with problems. */
  decode(kind: string, bytes: Uint8Array): DecodedEntry;
}
