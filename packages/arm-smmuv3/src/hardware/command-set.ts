import { reader } from '@iommukit/bits';
import {
  CMD_ATC_INV,
  CMD_CFGI_CD,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  CMD_PREFETCH_CONFIG,
  CMD_PRI_RESP,
  CMD_SYNC,
  CMD_TLBI_NH_VA,
  OPCODE,
} from '../format/commands.ts';
import { CR0, REGISTERS } from '../format/registers.ts';
import type { ConfigCache } from './config-cache.ts';
import type { Features } from './features.ts';
import type { Interrupts } from './interrupts.ts';
import type { StreamLookup } from './stream-lookup.ts';
import { WORLD, type World } from './tags.ts';
import { lastPage, pageOf, RangeFilter, type TlbInvalidate } from './tlb-invalidate.ts';
import type { UnitState } from './unit.ts';

const sid = reader(CMD_CFGI_STE.fields.StreamID);
const cfgiLeaf = reader(CMD_CFGI_STE.fields.Leaf);
const cfgiRange = reader(CMD_CFGI_STE_RANGE.fields.Range);
const ssid = reader(CMD_CFGI_CD.fields.SubstreamID);
const ssv = reader(CMD_PREFETCH_CONFIG.fields.SSV);
const vmidOf = reader(CMD_TLBI_NH_VA.fields.VMID);
const asidOf = reader(CMD_TLBI_NH_VA.fields.ASID);
const num = reader(CMD_TLBI_NH_VA.fields.NUM);
const scale = reader(CMD_TLBI_NH_VA.fields.SCALE);
const ttl = reader(CMD_TLBI_NH_VA.fields.TTL);
const tg = reader(CMD_TLBI_NH_VA.fields.TG);
const tlbiLeaf = reader(CMD_TLBI_NH_VA.fields.Leaf);
const resp = reader(CMD_PRI_RESP.fields.Resp);
const atcSize = reader(CMD_ATC_INV.fields.Size);
const cs = reader(CMD_SYNC.fields.CS);
const msiData = reader(CMD_SYNC.fields.MSIData);

const CR0_WORD = REGISTERS.CR0.at / 4;
const VMW_SHIFT = CR0.fields.VMW.lsb;
const WHOLE_TABLE = 31;
const MAX_ATC_SIZE = 52;
const CS_RESERVED = 3;

/** log2 of the granule by TG; 0 = any. */
const TG_LG2: readonly number[] = [0, 12, 14, 16];

/** What a command does: whether it may be consumed at all, and its effect. */
export interface Command {
  /** The unit takes this command with these operands; false is CERROR_ILL. */
  legal(words: Int32Array, features: Features): boolean;
  /** The effect. It shows at the next CMD_SYNC, unless {@link atOnce}. */
  run(words: Int32Array): void;
  readonly atOnce?: boolean;
}

export interface CommandParts {
  readonly unit: UnitState;
  readonly config: ConfigCache;
  readonly streams: StreamLookup;
  readonly tlb: TlbInvalidate;
  readonly interrupts: Interrupts;
}

const always = (): boolean => true;
const stage1 = (_words: Int32Array, x: Features): boolean => x.s1;
const stage2 = (_words: Int32Array, x: Features): boolean => x.s2;
const hyp = (_words: Int32Array, x: Features): boolean => x.hyp;

/** TTL as hardware takes it: 16 KiB level 1 does not exist without 52-bit tables. */
const levelHint = (words: Int32Array): number => (tg(words, 0) === 2 && ttl(words, 0) === 1 ? 0 : ttl(words, 0));

/** TG with neither range nor level is reserved: IHI 0070 4.4.1.1. */
const rangeLegal = (words: Int32Array, x: Features): boolean =>
  !x.ril || tg(words, 0) === 0 || num(words, 0) !== 0 || scale(words, 0) !== 0 || levelHint(words) !== 0;

/** The commands of IHI 0070 4 by opcode. */
export function commandSet(parts: CommandParts): readonly (Command | undefined)[] {
  const { unit, config, streams, tlb, interrupts } = parts;
  const range = new RangeFilter();

  const vmid = (words: Int32Array): number =>
    unit.features.s2 ? vmidOf(words, 0) & (unit.features.vmid16 ? 0xffff : 0xff) : 0;
  const asid = (words: Int32Array): number => asidOf(words, 0) & (unit.features.asid16 ? 0xffff : 0xff);

  /** Acts on every VMID that the command means: CR0.VMW leaves low bits out of the comparison. IHI 0070 3.10.2. */
  const eachVmid = (words: Int32Array, act: (vmid: number) => void): void => {
    const code = unit.features.vmw ? (unit.registers[CR0_WORD]! >>> VMW_SHIFT) & 7 : 0;
    const width = code > 4 ? 0 : code;
    const first = vmid(words) & (-1 << width);
    for (let i = 0; i < 1 << width; i++) act(first + i);
  };

  /** The addresses of a TLBI by VA or IPA. `input`: bits 63:56 follow bit 55, as in the cache's own addresses. */
  const rangeOf = (words: Int32Array, input: boolean): RangeFilter => {
    const ranged = unit.features.ril && tg(words, 0) !== 0;
    range.granuleLg2 = ranged ? TG_LG2[tg(words, 0)]! : 0;
    range.level = ranged ? levelHint(words) : 0;
    range.leafOnly = tlbiLeaf(words, 0) === 1;
    const unitPages = ranged ? 2 ** (range.granuleLg2 - 12) : 1;
    const page = pageOf(input ? (words[3]! << 8) >> 8 : words[3]!, words[2]!);
    range.first = Math.floor(page / unitPages) * unitPages;
    const count = ranged ? (num(words, 0) + 1) * 2 ** scale(words, 0) * unitPages : 1;
    range.last = lastPage(range.first, count);
    return range;
  };

  const bothEl2 = (act: (world: World) => void): void => {
    act(WORLD.EL2);
    act(WORLD.EL2_E2H);
  };

  const dropStreamTables = (first: number, count: number): void => {
    const split = streams.splitLg2;
    config.dropStreams(first, count);
    if (split === 0) return;
    const from = Math.floor(first / 2 ** split);
    const to = Math.floor((first + count - 1) / 2 ** split);
    if (to - from < config.l1std.map.size) for (let i = from; i <= to; i++) config.l1std.drop(i, 0);
    else config.l1std.dropWhere((index) => index >= from && index <= to);
  };

  const sync = (words: Int32Array): void => {
    if (cs(words, 0) === 1) interrupts.sync(words[3]! & 0x00ff_ffff, words[2]! & ~3, msiData(words, 0) | 0);
  };

  const table: Partial<Record<number, Command>> = {
    // A hint, taken: whoever changes an entry afterwards must invalidate it.
    [OPCODE.PREFETCH_CONFIG]: {
      legal: always,
      atOnce: true,
      run: (w) => {
        if (unit.enabled && ssv(w, 0) === 0) streams.find(sid(w, 0));
      },
    },
    [OPCODE.PREFETCH_ADDR]: { legal: always, run: () => {} },
    [OPCODE.CFGI_STE]: {
      legal: always,
      run: (w) => {
        config.dropStream(sid(w, 0));
        const split = streams.splitLg2;
        if (cfgiLeaf(w, 0) === 0 && split !== 0) config.l1std.drop(sid(w, 0) >>> split, 0);
      },
    },
    [OPCODE.CFGI_STE_RANGE]: {
      legal: always,
      run: (w) => {
        if (cfgiRange(w, 0) === WHOLE_TABLE) return config.clear();
        const count = 2 ** (cfgiRange(w, 0) + 1);
        dropStreamTables(Math.floor(sid(w, 0) / count) * count, count);
      },
    },
    [OPCODE.CFGI_CD]: { legal: stage1, run: (w) => config.dropContext(sid(w, 0), ssid(w, 0), cfgiLeaf(w, 0) === 1) },
    [OPCODE.CFGI_CD_ALL]: { legal: stage1, run: (w) => config.dropContexts(sid(w, 0)) },
    [OPCODE.CFGI_VMS_PIDM]: { legal: (_w, x) => x.mpam, run: () => {} },
    [OPCODE.TLBI_NH_ALL]: { legal: stage1, run: (w) => eachVmid(w, (id) => tlb.vmid(WORLD.EL1, id)) },
    [OPCODE.TLBI_NH_ASID]: { legal: stage1, run: (w) => eachVmid(w, (id) => tlb.asid(WORLD.EL1, id, asid(w))) },
    [OPCODE.TLBI_NH_VA]: {
      legal: (w, x) => x.s1 && rangeLegal(w, x),
      run: (w) => eachVmid(w, (id) => tlb.addressOfAsid(WORLD.EL1, id, asid(w), rangeOf(w, true))),
    },
    [OPCODE.TLBI_NH_VAA]: {
      legal: (w, x) => x.s1 && rangeLegal(w, x),
      run: (w) => eachVmid(w, (id) => tlb.addressOfVmid(WORLD.EL1, id, rangeOf(w, true))),
    },
    [OPCODE.TLBI_EL2_ALL]: { legal: hyp, run: () => bothEl2((world) => tlb.vmid(world, 0)) },
    [OPCODE.TLBI_EL2_ASID]: { legal: hyp, run: (w) => tlb.asid(WORLD.EL2_E2H, 0, asid(w)) },
    [OPCODE.TLBI_EL2_VA]: {
      legal: (w, x) => x.hyp && rangeLegal(w, x),
      run: (w) => {
        tlb.addressOfVmid(WORLD.EL2, 0, rangeOf(w, true));
        tlb.addressOfAsid(WORLD.EL2_E2H, 0, asid(w), rangeOf(w, true));
      },
    },
    [OPCODE.TLBI_EL2_VAA]: {
      legal: (w, x) => x.hyp && rangeLegal(w, x),
      run: (w) => bothEl2((world) => tlb.addressOfVmid(world, 0, rangeOf(w, true))),
    },
    [OPCODE.TLBI_S12_VMALL]: {
      legal: stage2,
      run: (w) =>
        eachVmid(w, (id) => {
          tlb.vmid(WORLD.EL1, id);
          tlb.vmid(WORLD.STAGE2, id);
        }),
    },
    [OPCODE.TLBI_S2_IPA]: {
      legal: (w, x) => x.s2 && rangeLegal(w, x),
      run: (w) => eachVmid(w, (id) => tlb.ipa(id, rangeOf(w, false))),
    },
    [OPCODE.TLBI_NSNH_ALL]: {
      legal: always,
      run: () => {
        tlb.world(WORLD.EL1);
        tlb.world(WORLD.STAGE2);
      },
    },
    [OPCODE.ATC_INV]: { legal: (w, x) => x.ats && atcSize(w, 0) <= MAX_ATC_SIZE, run: () => {} },
    [OPCODE.PRI_RESP]: { legal: (w, x) => x.pri && resp(w, 0) !== 3, run: () => {} },
    [OPCODE.RESUME]: { legal: (_w, x) => x.stallModel !== 1, run: () => {} },
    [OPCODE.STALL_TERM]: { legal: (_w, x) => x.stallModel !== 1, run: () => {} },
    [OPCODE.SYNC]: { legal: (w) => cs(w, 0) !== CS_RESERVED, atOnce: true, run: sync },
  };
  return Array.from({ length: 256 }, (_, opcode) => table[opcode]);
}
