import type { PageSource } from './source.ts';

/** A file from `base` (a page multiple) on. */
export function fileRange(source: PageSource, base: bigint): PageSource {
  if (base === 0n) return source;
  return {
    kind: source.kind,
    get revoked(): boolean {
      return source.revoked ?? false;
    },
    pin: (offset, length, writable) => source.pin(base + offset, length, writable),
    unpin: (offset, length, extents) => source.unpin(base + offset, length, extents),
    read: (offset, bytes) => source.read(base + offset, bytes),
    write: (offset, bytes) => source.write(base + offset, bytes),
    ...(source.watch && { watch: (listener: () => void) => source.watch!(listener) }),
  };
}
