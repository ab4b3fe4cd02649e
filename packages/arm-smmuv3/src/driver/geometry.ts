/** Shape of a VMSAv8-64 table in the engine's terms: level 0 is the manual's level 3. */
export interface Geometry64 {
  readonly inputBits: number;
  readonly granuleLg2: number;
  readonly levels: number;
  readonly rootIndexBits: number;
}

export interface Stage2Geometry extends Geometry64 {
  /** STE.S2SL0. */
  readonly sl0: number;
}

/** At most 16 tables may stand side by side at the root of a stage 2. */
const CONCAT_LG2 = 4;

/** Stage 1 has as many levels as its input width needs (Arm ARM D8.2). */
export function stage1Geometry(granuleLg2: number, inputBits: number): Geometry64 {
  const stride = granuleLg2 - 3;
  const levels = Math.ceil((inputBits - granuleLg2) / stride);
  return { inputBits, granuleLg2, levels, rootIndexBits: inputBits - granuleLg2 - (levels - 1) * stride };
}

/**
 * Stage 2 starts a level lower where up to 16 root tables side by side make up for it. That spares a read, and where the
 * physical address is small it is the only legal form (Arm ARM D8.2.2: 4K level 0 needs more than 42 bits, …).
 */
export function stage2Geometry(granuleLg2: number, inputBits: number): Stage2Geometry {
  const stride = granuleLg2 - 3;
  const levels = Math.max(1, Math.ceil((inputBits - granuleLg2 - CONCAT_LG2) / stride));
  const start = 4 - levels;
  const sl0 = granuleLg2 === 12 ? 2 - start : 3 - start;
  return { inputBits, granuleLg2, levels, rootIndexBits: inputBits - granuleLg2 - (levels - 1) * stride, sl0 };
}
