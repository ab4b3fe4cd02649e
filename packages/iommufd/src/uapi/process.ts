import type { PageSource, PhysicalExtent, UserMemory } from '../pages/source.ts';
import type { OpenFile } from './open-file.ts';

/** What a descriptor number of the calling process stands for. */
export type FileTarget =
  /** A file of ours, made by {@link UserProcess.newFile} or opened by path. */
  | { readonly kind: 'ours'; readonly file: OpenFile }
  /** A memory file. `size` is asked when its pages are pinned, because it may be truncated meanwhile. */
  | { readonly kind: 'memory'; readonly source: PageSource }
  /** Open, but nothing we can map or talk to. */
  | { readonly kind: 'other' };

/** The process (and thread) that makes a call: its memory, its descriptors, its rights. */
export interface UserProcess extends UserMemory {
  /** CAP_SYS_RESOURCE: may choose the memory accounting mode. */
  readonly privileged: boolean;
  /** Gives the process a descriptor for a file a command made (close-on-exec unless `flags` say otherwise: O_CLOEXEC
   *  0x80000 is the only one used). EMFILE. */
  newFile(file: OpenFile, flags: number): number;
  /** EBADF: not open. */
  file(fd: number): FileTarget;
  /** Physical pages under `[address, address + length)`, page-aligned, without pinning them. EFAULT. */
  pagesOf(address: bigint, length: bigint): readonly PhysicalExtent[];
}
