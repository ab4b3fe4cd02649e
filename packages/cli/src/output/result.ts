import { writeFileSync } from 'node:fs';
import type { CommandContext } from '../commands/shared.ts';
import { reasonOf, UsageError } from '../usage-error.ts';

/** A whole report, to stdout or to the file that `--output` names. */
export async function writeResult({ out }: CommandContext, file: string | undefined, text: string): Promise<void> {
  if (file === undefined) {
    await out.line(text);
    return;
  }
  try {
    writeFileSync(file, `${text}\n`);
  } catch (error) {
    throw new UsageError(`option '--output': ${reasonOf(error)}`);
  }
}
