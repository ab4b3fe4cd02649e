import { DumpMemory } from '@iommukit/machine';
import { reasonOf, UsageError } from '../usage-error.ts';
import { MAX_ADDRESS, parseInteger } from './number.ts';

interface MemorySource {
  readonly file: string;
  readonly base?: bigint;
}

/** `FILE` (an ELF64 core) or `FILE@0xBASE` (raw bytes). */
export function parseMemorySource(text: string): MemorySource {
  const raw = /^(.+)@(0x[0-9a-f]+)$/i.exec(text);
  if (raw === null) return { file: text };
  const base = parseInteger(raw[2]!)!;
  if (base > MAX_ADDRESS) throw new UsageError(`option '--memory' ${text}: the base does not fit 64 bits`);
  return { file: raw[1]!, base };
}

/** Physical memory out of dumps. What a model writes goes to an overlay; the files are only read. */
export function openMemory(sources: readonly string[]): DumpMemory {
  try {
    return DumpMemory.open(sources.map(parseMemorySource));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`option '--memory': ${reasonOf(error)}`);
  }
}
