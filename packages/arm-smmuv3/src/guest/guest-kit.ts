import { type BadNative, type GuestKit, type NativeData, type NativeInvalidation, VIOMMU_TYPE } from '@iommukit/core';
import {
  CMD_CFGI_CD,
  CMD_CFGI_STE,
  CMD_SYNC,
  CMD_TLBI_NH_ALL,
  CMD_TLBI_S12_VMALL,
  OPCODE,
} from '../format/commands.ts';
import { STE, STE_CONFIG } from '../format/ste.ts';
import { invalidation, SmmuGuestStage1, steData } from './guest-stage1.ts';

const STAGE1 = { V: true, Config: STE_CONFIG.S1 } as const;

/** STEs that no guest may pass, each with one thing wrong. */
function badNestedData(): BadNative<NativeData>[] {
  const ste = (title: string, values: Parameters<typeof STE.encode>[0]): BadNative<NativeData> => ({
    title,
    value: steData(STE.encode(values)),
    errno: 'EIO',
  });
  const good = steData(STE.encode(STAGE1));
  return [
    ste('stage 2 of its own', { V: true, Config: STE_CONFIG.S2 }),
    ste('both stages', { V: true, Config: STE_CONFIG.NESTED }),
    ste('a reserved Config', { V: true, Config: 1 }),
    ste('split-stage ATS', { ...STAGE1, EATS: 2 }),
    ste('EATS 3', { ...STAGE1, EATS: 3 }),
    ste('a StreamWorld', { ...STAGE1, STRW: 2 }),
    ste('SHCFG', { ...STAGE1, SHCFG: 1 }),
    ste('MEV', { ...STAGE1, MEV: true }),
    ste('S2FWB', { ...STAGE1, S2FWB: true }),
    ste('an S1ContextPtr beyond 52 bits', { ...STAGE1, S1ContextPtr: 1n << 52n }),
    { title: 'another data type', value: { ...good, type: 1 }, errno: 'EINVAL' },
    { title: 'no data type', value: { ...good, type: 0 }, errno: 'EINVAL' },
    { title: 'a word too few', value: { ...good, bytes: good.bytes.slice(0, 8) }, errno: 'EINVAL' },
    { title: 'a word too many', value: { ...good, bytes: new Uint8Array(24) }, errno: 'EINVAL' },
  ];
}

/** Batches whose first entry no guest may issue. */
function badInvalidations(virtualId: bigint): BadNative<NativeInvalidation>[] {
  const own = Number(virtualId);
  const command = (title: string, words: Uint32Array): BadNative<NativeInvalidation> => ({
    title,
    value: invalidation(words),
    errno: 'EIO',
  });
  const good = invalidation(CMD_TLBI_NH_ALL.encode({ Opcode: OPCODE.TLBI_NH_ALL }));
  const long = new Uint8Array(24);
  long.set(good.bytes);
  long[23] = 1;
  return [
    command('CFGI_STE', CMD_CFGI_STE.encode({ Opcode: OPCODE.CFGI_STE, StreamID: own, Leaf: true })),
    command('TLBI_S12_VMALL', CMD_TLBI_S12_VMALL.encode({ Opcode: OPCODE.TLBI_S12_VMALL })),
    command('SYNC', CMD_SYNC.encode({ Opcode: OPCODE.SYNC })),
    command('an unknown StreamID', CMD_CFGI_CD.encode({ Opcode: OPCODE.CFGI_CD, StreamID: (own ^ 0x55aa) >>> 0 })),
    command('opcode 0', new Uint32Array(4)),
    { title: 'another data type', value: { ...good, type: 0 }, errno: 'EINVAL' },
    { title: 'bytes behind the command', value: { ...good, entryLength: 24, bytes: long }, errno: 'E2BIG' },
  ];
}

/** What a guest's SMMUv3 driver writes, for examples and for the conformance suite. */
export const smmuGuestKit: GuestKit = {
  viommuType: VIOMMU_TYPE.ARM_SMMUV3,
  createStage1: (memory, virtualId) => new SmmuGuestStage1(memory, virtualId),
  badNestedData,
  badInvalidations,
};
