import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { toBig } from '@iommukit/bits';
import { ACCESS, DmaAnswer, DmaRequest, type DumpReader, OUTCOME } from '@iommukit/core';
import { DumpMemory } from '@iommukit/machine';
import { armSmmuV3 } from '../../src/index.ts';

export interface GoldenFault {
  readonly streamId: number;
  readonly iova: string;
  readonly access: 'read' | 'write';
  readonly fault: string;
  readonly note?: string;
}

export interface Golden {
  readonly translations: readonly { streamId: number; iova: string; pa: string; perm: string; size: string }[];
  readonly bypass: readonly { streamId: number; iova: string; pa: string }[];
  readonly faults: readonly GoldenFault[];
  readonly addressSpaces: readonly {
    streamIds: readonly number[];
    mapped: readonly { iova: string; pa: string; size: string; perm: string }[];
  }[];
  readonly events: readonly {
    raw: readonly string[];
    type: number;
    streamId: number;
    inputAddr: string;
    rnw: number;
  }[];
}

export interface Commands {
  readonly ring: readonly (readonly [string, string])[];
  readonly decoded: readonly { raw: string; qemuName: string; fields: Record<string, number | string | boolean> }[];
}

const at = (name: string, file: string) => new URL(`../fixtures/${name}/${file}.gz`, import.meta.url);
const json = (name: string, file: string) => JSON.parse(gunzipSync(readFileSync(at(name, file))).toString());

export const golden = (name: string): Golden => json(name, 'golden.json');
export const commands = (name: string): Commands => json(name, 'commands.json');

/** A capture, opened as the command line opens it. */
export function openCapture(name: string): DumpReader {
  const folder = mkdtempSync(join(tmpdir(), 'smmu-'));
  try {
    const file = join(folder, 'memory.elf');
    writeFileSync(file, gunzipSync(readFileSync(at(name, 'memory.elf'))));
    const memory = DumpMemory.open([{ file }]);
    const frame = new Uint8Array(gunzipSync(readFileSync(at(name, 'smmu-regs.bin'))));
    return armSmmuV3.dump!.open(memory, frame, { hostAddressBits: 52 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const request = new DmaRequest();
export const answer = new DmaAnswer();

export function query(dump: DumpReader, device: number, iova: bigint, access: 'read' | 'write' = 'read') {
  request.device = device;
  request.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
  request.iovaLo = Number(BigInt.asIntN(32, iova));
  request.access = access === 'read' ? ACCESS.READ : ACCESS.WRITE;
  dump.hardware.translate(request, answer);
  return answer.outcome === OUTCOME.FAULT
    ? { outcome: 'fault', name: armSmmuV3.faultName(answer.code) }
    : { outcome: answer.outcome === OUTCOME.BYPASS ? 'bypass' : 'translated', pa: toBig(answer.paHi, answer.paLo) };
}

export const perm = (bits: number): string => `${bits & 1 ? 'R' : ''}${bits & 2 ? 'W' : ''}`;
