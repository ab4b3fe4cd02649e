import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { main } from '../src/main.ts';

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout, a JSON value a line. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever was printed
  readonly lines: any[];
}

export const FAKE = fileURLToPath(new URL('./fake/plugin.ts', import.meta.url));

/** The whole command in this process. */
export async function run(...argv: string[]): Promise<Result> {
  const [stdout, stderr] = [new Collector(), new Collector()];
  const code = await main(argv, { stdout, stderr });
  return {
    code,
    stdout: stdout.text,
    stderr: stderr.text,
    get lines() {
      return stdout.text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line));
    },
  };
}

export class Collector extends Writable {
  readonly #chunks: string[] = [];
  get text(): string {
    return this.#chunks.join('');
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk.toString());
    done();
  }
}

/** A directory that is gone after the test file. */
export class Scratch {
  readonly path = mkdtempSync(join(tmpdir(), 'iommukit-cli-'));
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }
  lines(name: string, records: readonly unknown[]): string {
    return this.file(name, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  }
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function words64(...values: (bigint | number)[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
}

/** Where two long lists first differ, so that a failure prints one entry and not ten thousand; null when nowhere. */
export function firstDifference(found: readonly unknown[], wanted: readonly unknown[]): unknown {
  for (let at = 0; at < Math.max(found.length, wanted.length); at++) {
    if (JSON.stringify(found[at]) !== JSON.stringify(wanted[at])) return { at, found: found[at], wanted: wanted[at] };
  }
  return null;
}
