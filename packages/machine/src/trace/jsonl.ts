import { bytesToHex, hexToBytes } from '@iommukit/bits';
import type { Trace } from './trace.ts';

const FORMAT = 'iommukit-trace';
const VERSION = 1;

/** A file that is no trace; the message names the line. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
}

/**
 * A trace as JSONL: a header, one line an entry, one line a page of memory. Addresses and register values are
 * `{"$n":"0x…"}`, bytes `{"$b":"hex"}`, in memory order.
 */
export function encodeTrace(trace: Trace): string {
  const { entries, memory, ...rest } = trace;
  const header = { format: FORMAT, version: VERSION, ...rest, entries: entries.length, pages: memory.length };
  return `${[header, ...entries, ...memory].map((line) => JSON.stringify(line, write)).join('\n')}\n`;
}

/** Throws {@link TraceError} for text that {@link encodeTrace} cannot have written. */
export function decodeTrace(text: string): Trace {
  const lines = text.split('\n').filter((line) => line !== '');
  const [header, ...rest] = lines.map((line, i) => parse(line, i + 1));
  if (header?.format !== FORMAT || header.version !== VERSION) throw new TraceError(`line 1: no ${FORMAT} header`);
  const { ram, schedule, messageInterrupts, entries, pages } = header;
  if (rest.length !== (entries as number) + (pages as number))
    throw new TraceError(`line ${lines.length}: ${entries} entries and ${pages} pages announced, ${rest.length} found`);
  const body = rest as unknown[];
  return {
    ram,
    schedule,
    messageInterrupts,
    entries: body.slice(0, entries as number),
    memory: body.slice(entries as number),
  } as Trace;
}

/** `JSON.stringify` replacer; typed arrays and bigints become tagged objects. */
function write(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { $n: `0x${value.toString(16)}` };
  if (value instanceof Uint8Array) return { $b: bytesToHex(value) };
  return value;
}

function read(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('$n' in value) return BigInt(value.$n as string);
  if ('$b' in value) return hexToBytes(value.$b as string);
  return value;
}

function parse(line: string, number: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line, read);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below, with the line.
  }
  throw new TraceError(`line ${number}: not a JSON object`);
}
