import type { RecordedRequest } from '@iommukit/core';
import { parseHex } from '../input/hex.ts';
import { readJsonLines } from '../input/jsonl.ts';
import { shown } from '../input/number.ts';

/** A recorded request stream, checked whole: a bad line is found before anything is replayed. */
export async function readStream(file: string): Promise<RecordedRequest[]> {
  const requests: RecordedRequest[] = [];
  const seen = new Set<number>();
  await readJsonLines("option '--requests'", file, (record) => {
    const request = parseRequest(record);
    if (seen.has(request.seq)) throw new RangeError(`seq ${request.seq} stands twice`);
    seen.add(request.seq);
    requests.push(request);
  });
  return requests;
}

function parseRequest({ seq, raw, write_offset: writeOffset }: Readonly<Record<string, unknown>>): RecordedRequest {
  if (!isCount(seq)) throw new RangeError(`seq ${shown(seq)} is not a count`);
  if (typeof raw !== 'string') throw new RangeError(`raw ${shown(raw)} is not a hex string`);
  const bytes = parseHex(raw);
  if (!isCount(writeOffset) || writeOffset > bytes.length)
    throw new RangeError(`write_offset ${shown(writeOffset)} is not in 0 … ${bytes.length}, the length of raw`);
  return { seq, raw: bytes, writeOffset };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
