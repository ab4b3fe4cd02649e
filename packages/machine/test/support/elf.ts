import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface LoadSegment {
  readonly type?: number;
  readonly paddr: bigint;
  readonly data: Uint8Array;
  /** Default: the data's length. */
  readonly memsz?: bigint;
  readonly offset?: bigint;
  readonly filesz?: bigint;
}

/** An ELF64 core file written by hand, byte offsets as the System V gABI prints them. */
export function elf(segments: readonly LoadSegment[], options: { xnum?: boolean } = {}): Uint8Array {
  const tableAt = options.xnum ? 128 : 64;
  const dataAt = tableAt + segments.length * 56;
  const total = dataAt + segments.reduce((sum, { data }) => sum + data.length, 0);
  const file = new Uint8Array(total);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 183, true);
  view.setBigUint64(32, BigInt(tableAt), true);
  view.setUint16(54, 56, true);
  view.setUint16(56, options.xnum ? 0xffff : segments.length, true);
  if (options.xnum) {
    view.setBigUint64(40, 64n, true);
    view.setUint32(64 + 44, segments.length, true);
  }
  let at = dataAt;
  segments.forEach((segment, i) => {
    const base = tableAt + i * 56;
    view.setUint32(base, segment.type ?? 1, true);
    view.setBigUint64(base + 8, segment.offset ?? BigInt(at), true);
    view.setBigUint64(base + 24, segment.paddr, true);
    view.setBigUint64(base + 32, segment.filesz ?? BigInt(segment.data.length), true);
    view.setBigUint64(base + 40, segment.memsz ?? BigInt(segment.data.length), true);
    file.set(segment.data, at);
    at += segment.data.length;
  });
  return file;
}

/** A file in a directory that goes away with the test. */
export function tempFile(name: string, bytes: Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), 'iommukit-machine-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}
