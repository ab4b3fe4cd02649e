import type { DmaAnswer, DmaRequest } from '@iommukit/core';
import type { Region } from '../memory/sparse-source.ts';
import type { AccessSize } from '../observer.ts';
import type { Schedule } from '../schedule/scheduler.ts';

/** A unit as it was added. `vendor` and `config` are the plugin's id and the configuration's name. */
export interface TraceUnit {
  readonly id: string;
  readonly vendor: string;
  readonly config: string;
  readonly mmioBase: bigint;
  readonly hostAddressBits: number;
}

export type TraceRequest = { readonly [K in keyof DmaRequest]: DmaRequest[K] };

/** What counts of an answer: fields that do not apply to the outcome are null. */
export interface TraceAnswer {
  readonly outcome: DmaAnswer['outcome'];
  readonly pa: bigint | null;
  readonly pageSizeLg2: number | null;
  readonly permissions: number | null;
  readonly reason: number | null;
  readonly code: number | null;
  readonly record: Uint8Array | null;
}

/** Software's access to a register. `unit` is an index in the order of the `unit` entries. */
export interface TraceAccess {
  readonly op: 'read' | 'write';
  readonly unit: number;
  readonly offset: number;
  readonly size: AccessSize;
  readonly value: bigint;
}

/** A memory write of software or of a device; `word`: one access of 4 or 8 bytes. */
export interface TraceMemoryWrite {
  readonly op: 'memory';
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly word: boolean;
}

export interface TraceDma {
  readonly op: 'dma';
  readonly unit: number;
  readonly request: TraceRequest;
  readonly answer: TraceAnswer;
}

/** What happened to the board itself. */
export type TraceBoardEvent =
  | { readonly op: 'unit'; readonly unit: TraceUnit }
  | { readonly op: 'poison'; readonly start: bigint; readonly last: bigint }
  | { readonly op: 'schedule'; readonly schedule: Schedule }
  | { readonly op: 'relax' }
  | { readonly op: 'settle' }
  | { readonly op: 'reset' }
  | { readonly op: 'heal' };

/** One event, in the order the machine saw it. */
export type TraceEntry = TraceAccess | TraceMemoryWrite | TraceDma | TraceBoardEvent;

/** Non-zero 4 KiB pages, ascending. */
export interface MemoryPage {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Everything that crossed the boundary in one run, and the memory it left. Plain data. */
export interface Trace {
  /** Null: all 2^52 bytes. */
  readonly ram: readonly Region[] | null;
  /** As the machine started. */
  readonly schedule: Schedule;
  readonly messageInterrupts: boolean;
  readonly entries: readonly TraceEntry[];
  readonly memory: readonly MemoryPage[];
}
