import { toBig, wordsToBytes } from '@iommukit/bits';
import {
  type GuestMemory,
  type GuestStage1,
  HWPT_DATA_TYPE,
  INVALIDATE_DATA_TYPE,
  type NativeData,
  type NativeInvalidation,
} from '@iommukit/core';
import { CD, CD_BYTES } from '../format/cd.ts';
import { CMD_CFGI_CD, CMD_TLBI_NH_ASID, CMD_TLBI_NH_VA, COMMAND_BYTES, OPCODE } from '../format/commands.ts';
import { STE, STE_CONFIG } from '../format/ste.ts';
import { GuestTable } from './guest-table.ts';

/** 48 bits of input, 48 of output (the SMMU takes the smaller of this and its own). */
const T0SZ = 16;
const IPS_48 = 5;
const WALK_WB = 1;
const ISH = 3;
/** AttrIndx 0 non-cacheable, 1 write-back. */
const MAIR = 0xff44;
/** Guests with 8-bit ASIDs must not run out. */
const ASID_LIMIT = 256;

/** The next ASID of each guest, which its memory stands for: two address spaces of one guest never share one. */
const nextAsid = new WeakMap<GuestMemory, number>();

function takeAsid(memory: GuestMemory): number {
  const asid = nextAsid.get(memory) ?? 1;
  nextAsid.set(memory, (asid % (ASID_LIMIT - 1)) + 1);
  return asid;
}

/** Commands as the guest would put them into its own queue. */
export const invalidation = (...commands: readonly Uint32Array[]): NativeInvalidation => ({
  type: INVALIDATE_DATA_TYPE.ARM_SMMUV3,
  entryLength: COMMAND_BYTES,
  entryCount: commands.length,
  bytes: wordsToBytes(commands.flatMap((words) => [...words])),
});

/** Words 0 and 1 of an STE. */
export const steData = (words: Uint32Array): NativeData => ({
  type: HWPT_DATA_TYPE.ARM_SMMUV3,
  bytes: wordsToBytes(words.subarray(0, 4)),
});

/** A guest's stage 1: its CD and its table, in its own memory, and the STE that its VMM passes on. */
export class SmmuGuestStage1 implements GuestStage1 {
  readonly data: NativeData;
  private readonly table: GuestTable;
  private readonly asid: number;
  private readonly sid: number;

  constructor(memory: GuestMemory, virtualId: bigint) {
    this.table = new GuestTable(memory);
    this.asid = takeAsid(memory);
    this.sid = Number(virtualId);
    const cd = memory.alloc(CD_BYTES);
    writeWords(memory, cd, this.cd());
    this.data = steData(
      STE.encode({
        V: true,
        Config: STE_CONFIG.S1,
        S1ContextPtr: cd,
        S1CIR: WALK_WB,
        S1COR: WALK_WB,
        S1CSH: ISH,
      }),
    );
  }

  map(iova: bigint, gpa: bigint, writable: boolean): void {
    this.table.map(iova, gpa, writable);
  }

  unmap(iova: bigint): void {
    this.table.unmap(iova);
  }

  /** One leaf, of any level: no range, no hints. A guest knows no VMID but 0. */
  invalidatePage(iova: bigint): NativeInvalidation {
    const command = { Opcode: OPCODE.TLBI_NH_VA, ASID: this.asid, Leaf: true, Address: iova & ~0xfffn };
    return invalidation(CMD_TLBI_NH_VA.encode(command));
  }

  invalidateAll(): NativeInvalidation {
    return invalidation(
      CMD_CFGI_CD.encode({ Opcode: OPCODE.CFGI_CD, StreamID: this.sid, Leaf: true }),
      CMD_TLBI_NH_ASID.encode({ Opcode: OPCODE.TLBI_NH_ASID, ASID: this.asid }),
    );
  }

  private cd(): Uint32Array {
    return CD.encode({
      T0SZ,
      IR0: WALK_WB,
      OR0: WALK_WB,
      SH0: ISH,
      EPD1: true,
      V: true,
      IPS: IPS_48,
      AA64: true,
      R: true,
      A: true,
      ASET: true,
      ASID: this.asid,
      TTB0: this.table.root,
      MAIR0: MAIR,
    });
  }
}

function writeWords(memory: GuestMemory, at: bigint, words: Uint32Array): void {
  for (let i = 0; i < words.length; i += 2) memory.write64(at + BigInt(i * 4), toBig(words[i + 1]!, words[i]!));
}
