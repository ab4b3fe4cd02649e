import type { IommufdContext } from '../context.ts';
import type { IommufdFile } from './file.ts';
import type { UserProcess } from './process.ts';
import type { Struct, StructFields, StructValues } from './struct.ts';

/** The `;` of the request word. */
const TYPE = 0x3b;
/** Number of the first command. */
export const COMMAND_BASE = 0x80;

/** One ioctl on its way: what the caller passed, and what the handler may do with the caller. */
export interface CommandCall<F extends StructFields = StructFields> {
  readonly context: IommufdContext;
  readonly file: IommufdFile;
  readonly user: UserProcess;
  readonly args: StructValues<F>;
  /** The structure's bytes, zero-extended to the size known here; another structure may be laid over them. */
  readonly bytes: Uint8Array;
  /** Sets fields of the structure and copies it back: `min(size given, size known)` bytes. EFAULT. */
  reply(values?: Partial<StructValues<F>>): void;
  /** Sets one field and copies back nothing else. EFAULT. */
  replyField<N extends keyof F & string>(name: N, value: StructValues<F>[N]): void;
}

/** A command of the extensible-struct envelope. */
export interface Command<F extends StructFields = StructFields> {
  readonly name: string;
  /** The number, from {@link COMMAND_BASE} on. */
  readonly number: number;
  /** The whole 32-bit request. */
  readonly request: number;
  readonly struct: Struct<F>;
  /** Smallest `size` a caller may give, in bytes. */
  readonly min: number;
  /** Returns the ioctl's result; nothing means 0. Throws IommuError. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler without a result reads better without `return 0`
  run(call: CommandCall<F>): number | void;
}

/** `through` names the last field of the first released layout; default: the whole structure. */
export function command<F extends StructFields>(
  name: string,
  number: number,
  struct: Struct<F>,
  run: Command<F>['run'],
  through?: keyof F & string,
): Command {
  const min = through === undefined ? struct.size : struct.endOf(through);
  return { name, number, request: (TYPE << 8) | number, struct, min, run } as unknown as Command;
}
