import {
  CMD_ATC_INV,
  CMD_CFGI_STE,
  CMD_PRI_RESP,
  CMD_SYNC,
  CMD_TLBI_NH_VA,
  HAS_SSEC,
  OPCODE,
} from '../format/commands.ts';

type Words = Uint32Array;

const RANGED: ReadonlySet<number> = new Set([
  OPCODE.TLBI_NH_VA,
  OPCODE.TLBI_NH_VAA,
  OPCODE.TLBI_EL2_VA,
  OPCODE.TLBI_EL2_VAA,
  OPCODE.TLBI_S2_IPA,
]);

function rangeProblems(words: Words): string[] {
  const { TG, NUM, SCALE, TTL } = CMD_TLBI_NH_VA.decode(words);
  const hint = TG === 2 && TTL === 1 ? 0 : TTL;
  return TG !== 0 && NUM === 0 && SCALE === 0 && hint === 0
    ? ['TG without range or level: NUM, SCALE and effective TTL are all 0']
    : [];
}

const PROBLEMS: Readonly<Record<number, (words: Words) => string[]>> = {
  [OPCODE.TLBI_EL3_ALL]: () => ['an EL3 command is illegal in a Non-secure queue'],
  [OPCODE.TLBI_EL3_VA]: () => ['an EL3 command is illegal in a Non-secure queue'],
  [OPCODE.ATC_INV]: (words) => (CMD_ATC_INV.get(words, 'Size') > 52 ? ['Size is larger than 52'] : []),
  [OPCODE.PRI_RESP]: (words) => (CMD_PRI_RESP.get(words, 'Resp') === 3 ? ['Resp=3 is reserved'] : []),
  [OPCODE.SYNC]: (words) => (CMD_SYNC.get(words, 'CS') === 3 ? ['CS=3 is reserved'] : []),
};

/** Why a command of a known opcode is CERROR_ILL on every unit's Non-secure queue; empty when some unit takes it. */
export function commandProblems(opcode: number, words: Words): string[] {
  const problems = RANGED.has(opcode) ? rangeProblems(words) : (PROBLEMS[opcode]?.(words) ?? []);
  const secure = HAS_SSEC.has(opcode) && CMD_CFGI_STE.get(words, 'SSec');
  return secure ? ['SSec=1 in a Non-secure queue', ...problems] : problems;
}
