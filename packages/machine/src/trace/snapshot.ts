import { toBig } from '@iommukit/bits';
import { type DmaAnswer, OUTCOME } from '@iommukit/core';
import type { SparseMemory } from '../memory/sparse.ts';
import type { MemoryPage, TraceAnswer } from './trace.ts';

const PAGE = 4096;

/** A copy of every page that is not all zero. */
export function snapshotMemory(memory: SparseMemory): MemoryPage[] {
  const pages: MemoryPage[] = [];
  for (const { start, bytes } of memory.written()) {
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      if (page.some((byte) => byte !== 0)) pages.push({ address: start + BigInt(at), bytes: page.slice() });
    }
  }
  return pages;
}

/** A copy of what counts of an answer. */
export function snapshotAnswer(answer: DmaAnswer): TraceAnswer {
  const fault = answer.outcome === OUTCOME.FAULT;
  const page = answer.outcome === OUTCOME.TRANSLATED;
  const pa = toBig(answer.paHi, answer.paLo);
  return {
    outcome: answer.outcome,
    pa: fault ? null : pa,
    pageSizeLg2: page ? answer.pageSizeLg2 : null,
    permissions: page ? answer.permissions : null,
    reason: fault ? answer.reason : null,
    code: fault ? answer.code : null,
    record: fault ? new Uint8Array(answer.record.slice(0, answer.recordWords).buffer) : null,
  };
}
