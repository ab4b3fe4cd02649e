import { readJsonLines } from '../input/jsonl.ts';
import { shown } from '../input/number.ts';
import { parseQuery, QueryList } from '../input/query.ts';

/** Queries by the request after which they are asked. Those without `after_seq` wait for the end of the stream. */
export interface Timeline {
  readonly queries: QueryList;
  readonly after: ReadonlyMap<number | null, readonly number[]>;
}

export async function readTimeline(file: string | undefined, known: ReadonlySet<number>): Promise<Timeline> {
  const queries = new QueryList();
  const after = new Map<number | null, number[]>();
  if (file === undefined) return { queries, after };
  await readJsonLines("option '--batch'", file, (record) => {
    const seq = parseAfter(record.after_seq, known);
    const list = after.get(seq);
    if (list) list.push(queries.length);
    else after.set(seq, [queries.length]);
    queries.push(parseQuery(record, true));
  });
  return { queries, after };
}

function parseAfter(value: unknown, known: ReadonlySet<number>): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number' || !known.has(value))
    throw new RangeError(`after_seq ${shown(value)}: no such request`);
  return value;
}
