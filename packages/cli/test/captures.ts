import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Scratch } from './run.ts';

const PACKAGES = fileURLToPath(new URL('../..', import.meta.url));

/** A capture of a real kernel, out of the vendor package's fixtures. */
export class Capture {
  readonly vendor: string;
  readonly name: string;
  readonly #folder: string;
  readonly #scratch: Scratch;

  constructor(vendor: string, name: string, scratch: Scratch) {
    this.vendor = vendor;
    this.name = name;
    this.#folder = join(PACKAGES, vendor, 'test', 'fixtures', name);
    this.#scratch = scratch;
  }

  bytes(file: string): Buffer {
    return gunzipSync(readFileSync(join(this.#folder, `${file}.gz`)));
  }

  // biome-ignore lint/suspicious/noExplicitAny: the captures' own form
  json(file: string): any {
    return JSON.parse(this.bytes(file).toString());
  }

  // biome-ignore lint/suspicious/noExplicitAny: the captures' own form
  lines(file: string): any[] {
    const lines = this.bytes(file).toString().split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  }

  /** Unpacked, for the command to read. */
  path(file: string): string {
    const path = join(this.#scratch.path, `${this.name}-${file}`);
    if (!existsSync(path)) writeFileSync(path, this.bytes(file));
    return path;
  }

  dump(registers: string): string[] {
    return ['--vendor', this.vendor, '--memory', this.path('memory.elf'), '--registers', this.path(registers)];
  }
}

/** Every capture a vendor package holds; at least one, or the tests would be empty. */
export function capturesOf(vendor: string, scratch: Scratch): Capture[] {
  const folder = join(PACKAGES, vendor, 'test', 'fixtures');
  const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'golden.json.gz')));
  if (names.length === 0) throw new Error(`no captures in ${folder}`);
  return names.map((name) => new Capture(vendor, name, scratch));
}
