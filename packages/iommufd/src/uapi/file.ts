import { IommufdContext } from '../context.ts';
import { COMMAND_BASE, type Command } from './command.ts';
import { dispatch } from './envelope.ts';
import { errnoOf, guard } from './errno.ts';
import type { MappedRegion, OpenFile } from './open-file.ts';
import type { UserProcess } from './process.ts';
import { COMMANDS } from './table.ts';

export interface IommufdFileOptions {
  /** Default: a fresh one. */
  readonly context?: IommufdContext;
  /** Commands beside the native ones (a test build's). */
  readonly commands?: readonly Command[];
}

/**
 * One open `/dev/iommu`, as bytes. Closing it destroys the objects, unless files made from it are still open: the last
 * of those does then.
 */
export class IommufdFile implements OpenFile {
  readonly context: IommufdContext;
  /** By number, from {@link COMMAND_BASE} on. */
  readonly commands: readonly (Command | undefined)[];
  /** Never called: a context has nothing to read. */
  onReadable: (() => void) | null = null;

  constructor({ context = new IommufdContext(), commands = [] }: IommufdFileOptions = {}) {
    this.context = context;
    this.commands = byNumber([...COMMANDS, ...commands]);
  }

  /** The result, or `-errno`. Never throws for anything a program passes. */
  ioctl(request: number, arg: bigint, user: UserProcess): number {
    return guard(() => dispatch(this, request >>> 0, arg, user));
  }

  read(): number {
    return errnoOf('EINVAL');
  }

  write(): number {
    return errnoOf('EINVAL');
  }

  poll(): number {
    return 0;
  }

  /** EINVAL: no whole pages, or private; EPERM: executable; ENXIO: not exactly an exported region. */
  mmap(offset: bigint, length: bigint, prot: number, flags: number): MappedRegion | number {
    return guard(() => this.context.regions.map(offset, length, prot, flags));
  }

  close(): void {
    this.context.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function byNumber(commands: readonly Command[]): (Command | undefined)[] {
  const table: (Command | undefined)[] = [];
  for (const command of commands) table[command.number - COMMAND_BASE] = command;
  return table;
}
