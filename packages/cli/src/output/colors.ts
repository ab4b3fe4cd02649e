import picocolors from 'picocolors';
import type { CliIo } from './output.ts';

export type Colors = ReturnType<typeof picocolors.createColors>;

export const PLAIN: Colors = picocolors.createColors(false);

/** Colour only on a terminal, and only when the environment (`NO_COLOR`, `FORCE_COLOR`) agrees. */
export const colorsFor = ({ stdout }: CliIo): Colors =>
  picocolors.createColors(stdout.isTTY === true && picocolors.isColorSupported);
