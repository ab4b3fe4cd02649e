import { ensure, IommuError } from '@iommukit/core';
import { COMMAND_BASE, type Command, type CommandCall } from './command.ts';
import type { IommufdFile } from './file.ts';
import type { UserProcess } from './process.ts';
import type { StructFields, StructValues } from './struct.ts';
import { fetch, isZero } from './user-bytes.ts';
import { vfioIoctl } from './vfio-compat.ts';

/**
 * One ioctl, checked in the order of the reference (§2): the number, the size word, the whole request, the size, the
 * tail beyond what is known. Throws IommuError.
 */
export function dispatch(file: IommufdFile, request: number, arg: bigint, user: UserProcess): number {
  const number = (request & 0xff) - COMMAND_BASE;
  if (number < 0 || number >= file.commands.length) return vfioIoctl(file.context, request, arg, user);
  const command = file.commands[number];
  const bytes = new Uint8Array(command?.struct.size ?? 0);
  const whole = bytes.length > 0 && user.read(arg, bytes);
  const size = whole ? wordOf(bytes) : wordOf(fetch(user, arg, 4));
  if (command?.request !== request) throw new IommuError('ENOTTY', `no command 0x${request.toString(16)}`);
  ensure(size >= command.min, 'EINVAL', `${command.name}: a structure of ${size} bytes is too short`);
  return run(file, command, { arg, size, user, bytes, whole });
}

interface Where {
  readonly arg: bigint;
  readonly size: number;
  readonly user: UserProcess;
  /** As long as the structure known here. */
  readonly bytes: Uint8Array;
  /** They were read already, perhaps more than the caller passed. */
  readonly whole: boolean;
}

function run(file: IommufdFile, command: Command, { arg, size, user, bytes, whole }: Where): number {
  const { struct } = command;
  const known = Math.min(size, struct.size);
  const zero = isZero(user, arg + BigInt(struct.size), size - known);
  ensure(zero, 'E2BIG', `${command.name}: unknown fields are set`);
  if (!whole) bytes.set(fetch(user, arg, known));
  bytes.fill(0, known);
  const call: CommandCall = {
    context: file.context,
    file,
    user,
    bytes,
    args: struct.decode(bytes),
    reply(values: Partial<StructValues<StructFields>> = {}): void {
      struct.write(bytes, values);
      ensure(user.write(arg, bytes.subarray(0, known)), 'EFAULT', 'the structure cannot be written');
    },
    replyField(name: string, value: number | bigint): void {
      const { at } = struct.fields[name]!;
      struct.write(bytes, { [name]: value });
      const field = bytes.subarray(at, struct.endOf(name));
      ensure(user.write(arg + BigInt(at), field), 'EFAULT', 'the structure cannot be written');
    },
  };
  return command.run(call) ?? 0;
}

const wordOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
