import { bytesToWords } from '@iommukit/bits';
import { ensure, HWPT_DATA_TYPE, type NativeData } from '@iommukit/core';
import { STE, STE_CONFIG } from '../format/ste.ts';
import { dropMask, fieldMask } from './field-masks.ts';

/** What a guest's STE asks for. */
export type NestedConfig = 'abort' | 'bypass' | 'stage1';

/** Words 0 and 1 of an STE, as the guest wrote them. */
const BYTES = 16;
const WORDS = 4;
/** S1ContextPtr of a guest is an IPA of at most 52 bits. */
const POINTER_HIGH = STE.encode({ S1ContextPtr: 0xf0_0000_0000_0000n });
const ALLOWED = fieldMask(
  STE,
  ...(['V', 'Config', 'S1Fmt', 'S1ContextPtr', 'S1CDMax', 'S1DSS', 'S1CIR', 'S1COR', 'S1CSH'] as const),
  ...(['S1STALLD', 'EATS'] as const),
);
dropMask(ALLOWED, POINTER_HIGH);
const EATS = fieldMask(STE, 'EATS');
const CONFIGS: Readonly<Record<number, NestedConfig>> = {
  [STE_CONFIG.ABORT]: 'abort',
  [STE_CONFIG.BYPASS]: 'bypass',
  [STE_CONFIG.S1]: 'stage1',
};
const EATS_FULL = 1;

export interface GuestSte {
  readonly config: NestedConfig;
  readonly words: Uint32Array;
}

/**
 * Takes a guest's STE apart. EINVAL: wrong type or length; EIO: bits a guest must not set, a Config other than abort,
 * bypass and stage 1, or split-stage ATS. An invalid entry (V = 0) counts as abort whatever else it says.
 */
export function parseGuestSte({ type, bytes }: NativeData): GuestSte {
  ensure(type === HWPT_DATA_TYPE.ARM_SMMUV3, 'EINVAL', `data type ${type} is no SMMUv3 STE`);
  ensure(bytes.length === BYTES, 'EINVAL', `an STE's words 0 and 1 are ${BYTES} bytes, not ${bytes.length}`);
  const words = bytesToWords(bytes);
  if (!STE.get(words, 'V')) return { config: 'abort', words: new Uint32Array(WORDS) };
  for (let i = 0; i < WORDS; i++) ensure((words[i]! & ~ALLOWED[i]!) === 0, 'EIO', 'the STE sets bits of the host');
  const config = CONFIGS[STE.get(words, 'Config')];
  ensure(config !== undefined, 'EIO', 'the STE asks for neither abort, bypass nor stage 1');
  ensure(STE.get(words, 'EATS') <= EATS_FULL, 'EIO', 'the STE asks for split-stage ATS');
  return { config, words: words.map((word, i) => word & ~EATS[i]!) };
}
