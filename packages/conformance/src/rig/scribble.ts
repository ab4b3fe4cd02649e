import type { Machine } from '@iommukit/machine';

/** No field of any vendor's structures makes sense of it. */
const JUNK = 0xdb;

/**
 * From now on pages are filled with junk when a driver gives them back, so that hardware which still reads them, or
 * remembers that it may, is found out.
 */
export function scribbleOnFree({ pages, memory }: Machine): void {
  const sizes = new Map<number, number>();
  const alloc = pages.alloc.bind(pages);
  const free = pages.free.bind(pages);
  pages.alloc = (bytes, align) => {
    const pa = alloc(bytes, align);
    sizes.set(pa, bytes);
    return pa;
  };
  pages.free = (pa) => {
    free(pa);
    memory.writeBytes(BigInt(pa), new Uint8Array(sizes.get(pa) ?? 0).fill(JUNK));
    sizes.delete(pa);
  };
}
