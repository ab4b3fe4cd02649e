import { OPCODE } from '../format/commands.ts';
import type { CommandProducer } from './command-producer.ts';

/**
 * The commands this driver issues, word by word (bit positions in ../format/commands.ts). VMID and ASID share word 1,
 * page-aligned addresses lie in words 2 and 3 as they are.
 */
const SSID_SHIFT = 12;
const ASID_SHIFT = 16;
const RANGE_ALL = 31;

/** Every cached STE, CD, L1STD and L1CD. */
export const cfgiAll = (queue: CommandProducer): void => queue.push(OPCODE.CFGI_STE_RANGE, 0, RANGE_ALL, 0);

/** `leaf` false: the stream's level-1 descriptor too. */
export const cfgiSte = (queue: CommandProducer, sid: number, leaf: boolean): void =>
  queue.push(OPCODE.CFGI_STE, sid, leaf ? 1 : 0, 0);

export const cfgiCd = (queue: CommandProducer, sid: number, ssid: number, leaf: boolean): void =>
  queue.push(OPCODE.CFGI_CD | (ssid << SSID_SHIFT), sid, leaf ? 1 : 0, 0);

export const tlbiEl2All = (queue: CommandProducer): void => queue.push(OPCODE.TLBI_EL2_ALL, 0, 0, 0);

/** All stage-1, stage-2 and combined entries of every VMID. */
export const tlbiNsnhAll = (queue: CommandProducer): void => queue.push(OPCODE.TLBI_NSNH_ALL, 0, 0, 0);

/** Stage-1 and combined entries of a VMID. */
export const tlbiNhAll = (queue: CommandProducer, vmid: number): void => queue.push(OPCODE.TLBI_NH_ALL, vmid, 0, 0);

export const tlbiNhAsid = (queue: CommandProducer, asid: number): void =>
  queue.push(OPCODE.TLBI_NH_ASID, asid << ASID_SHIFT, 0, 0);

/** Stages 1, 2 and combined of a VMID. */
export const tlbiS12 = (queue: CommandProducer, vmid: number): void => queue.push(OPCODE.TLBI_S12_VMALL, vmid, 0, 0);

/** Aborts a stalled transaction. */
export const resumeAbort = (queue: CommandProducer, sid: number, stag: number): void =>
  queue.push(OPCODE.RESUME | (1 << 13), sid, stag, 0);
