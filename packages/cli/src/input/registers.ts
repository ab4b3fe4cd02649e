import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { hex } from '@iommukit/bits';
import { reasonOf, UsageError } from '../usage-error.ts';

/** No unit has a larger frame; a memory dump named here by mistake is not loaded whole. */
const LARGEST_FRAME = 1 << 20;

/** The raw bytes of a register frame from offset 0, at least `least` of them. */
export function readFrame(file: string, least: number): Uint8Array {
  const frame = readStart(file, LARGEST_FRAME);
  if (frame.length < least)
    throw new UsageError(
      `option '--registers' ${file}: ends at offset ${hex(frame.length)}, the frame needs ${hex(least)} bytes`,
    );
  return frame;
}

function readStart(file: string, most: number): Uint8Array {
  try {
    const descriptor = openSync(file, 'r');
    try {
      const bytes = new Uint8Array(Math.min(fstatSync(descriptor).size || most, most));
      let length = 0;
      for (let got = -1; got !== 0 && length < bytes.length; length += got)
        got = readSync(descriptor, bytes, length, bytes.length - length, null);
      return bytes.subarray(0, length);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw new UsageError(`option '--registers': ${reasonOf(error)}`);
  }
}
