/**
 * What an architecture says about its page tables, as the driver writes them. Levels count from the leaf: level 0 holds
 * the smallest pages, the root is level `levels - 1`. The manuals' own level numbers stand in each format's header.
 *
 * Entries are 64 bits, handled as signed halves. Encoders leave their result in `lo`/`hi`, so that nothing is allocated.
 */
export interface PageTableFormat {
  readonly name: string;
  /** log2 of a table's size in bytes, which is also log2 of the smallest page. */
  readonly granuleLg2: number;
  readonly levels: number;
  /** Index bits of every level but the root: `granuleLg2 - 3`. */
  readonly indexBits: number;
  /** Index bits of the root; more than {@link indexBits} when tables are concatenated, fewer when it is partly used. */
  readonly rootIndexBits: number;
  /** Width of a physical address the format can hold. */
  readonly outputBits: number;
  /** Bit `level` set: that level may hold leaves. Bit 0 is always set. */
  readonly leafLevels: number;

  /** Result of the last `encode…`, and halves of the last decoded address. */
  lo: number;
  hi: number;
  /** A leaf at `level`. False when the protection cannot be expressed (the caller answers EINVAL). */
  encodeLeaf(level: number, paHi: number, paLo: number, prot: number): boolean;
  /** A pointer to the next table. */
  encodeTable(paHi: number, paLo: number): void;
  isPresent(lo: number, hi: number): boolean;
  /** Only asked of present entries at level ≥ 1. */
  isTable(level: number, lo: number, hi: number): boolean;
  /** The address a present entry points at, into `lo`/`hi`. */
  decodeAddress(level: number, lo: number, hi: number): void;
  /** Written since the last clear; absent when the format cannot tell. Only asked of leaves. */
  isDirty?(level: number, lo: number, hi: number): boolean;
  /** The same leaf, clean, into `lo`/`hi`. */
  encodeClean?(level: number, lo: number, hi: number): void;
}
