import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { integerIn } from '../input/number.ts';
import type { CliIo, Output } from '../output/output.ts';
import { reasonOf } from '../usage-error.ts';

/** What a command is given besides its options. */
export interface CommandContext {
  readonly io: CliIo;
  readonly out: Output;
  /** What the command ends with when nothing is thrown. */
  exitCode: number;
}

/** Turns a parser that throws into one whose complaint commander prints with the option's name. */
export function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(`${reasonOf(error)}.`);
    }
  };
}

/** For an option that may be given more than once. */
export const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];

const NARROWEST_HOST = 12n;
const WIDEST_HOST = 52n;

export function withPluginOption(command: Command): Command {
  return command.option('--plugin <file|package>', 'load another vendor (repeatable)', collect, []);
}

export function withVendorOptions(command: Command): Command {
  return withPluginOption(command.requiredOption('--vendor <id>', 'whose structures these are'));
}

/** The options that name a dump. `required` is false where a dump is one of two ways to use the command. */
export function withDumpOptions(command: Command, required = true): Command {
  command.option('--memory <file[@0xbase]>', 'ELF64 core, or raw bytes with their base (repeatable)', collect, []);
  command[required ? 'requiredOption' : 'option']('--registers <file>', 'raw bytes of the register frame');
  return command.option(
    '--host-address-width <bits>',
    'host address width, which no register tells',
    checked((text) => Number(integerIn(text, 'width', NARROWEST_HOST, WIDEST_HOST))),
    52,
  );
}
