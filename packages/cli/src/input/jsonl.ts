import { createReadStream } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { reasonOf, UsageError } from '../usage-error.ts';

const LONGEST_LINE = 1 << 24;

/** Non-empty lines of a text file with their numbers (from 1), read in pieces. Throws UsageError naming `option`. */
export async function* linesOf(option: string, file: string): AsyncGenerator<{ text: string; number: number }> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let number = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
      const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
      rest = lines.pop()!;
      if (rest.length > LONGEST_LINE)
        throw new UsageError(`${file}:${number + lines.length + 1}: the line is too long`);
      for (const text of lines) {
        number++;
        if (text.trim() !== '') yield { text, number };
      }
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${option} ${file}: ${reasonOf(error)}`);
  }
  rest += decoder.end();
  if (rest.trim() !== '') yield { text: rest, number: number + 1 };
}

/**
 * One JSON object a line; `take` gets each and throws what is wrong with it. Any error becomes a UsageError that
 * begins `file:line:`.
 */
export async function readJsonLines(
  option: string,
  file: string,
  take: (record: Readonly<Record<string, unknown>>, line: number) => void,
): Promise<void> {
  for await (const { text, number } of linesOf(option, file)) {
    try {
      take(jsonObject(text), number);
    } catch (error) {
      throw new UsageError(`${file}:${number}: ${reasonOf(error)}`);
    }
  }
}

export function jsonObject(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SyntaxError('not a JSON object');
  return value as Record<string, unknown>;
}
