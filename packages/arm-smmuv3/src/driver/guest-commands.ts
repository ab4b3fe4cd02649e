import { OPCODE } from '../format/commands.ts';

const VMID_MASK = 0xffff;

/** What a guest's command is rewritten with. */
export interface GuestTranslation {
  /** The VMID of the virtual machine's stage 2. */
  readonly vmid: number;
  /** The StreamID behind a virtual one, or -1. */
  physicalSid(virtualSid: number): number;
  /** The unit has ATS; without it an ATC invalidation has nothing to do. */
  readonly ats: boolean;
}

export const COMMAND = { READY: 0, NOTHING_TO_DO: 1, REFUSED: 2 } as const;
export type CommandVerdict = (typeof COMMAND)[keyof typeof COMMAND];

type Rewrite = (command: Uint32Array, guest: GuestTranslation) => CommandVerdict;

/** VMID is the low half of word 1; the ASID above it is the guest's own. */
const withVmid: Rewrite = (command, { vmid }) => {
  command[1] = (command[1]! & ~VMID_MASK) | vmid;
  return COMMAND.READY;
};

const withSid: Rewrite = (command, guest) => {
  const sid = guest.physicalSid(command[1]!);
  if (sid < 0) return COMMAND.REFUSED;
  command[1] = sid;
  return COMMAND.READY;
};

/** "Everything non-secure" of a guest is everything of its VMID. */
const everything: Rewrite = (command, { vmid }) => {
  command.set([OPCODE.TLBI_NH_ALL, vmid, 0, 0]);
  return COMMAND.READY;
};

const atc: Rewrite = (command, guest) => {
  const verdict = withSid(command, guest);
  return verdict === COMMAND.READY && !guest.ats ? COMMAND.NOTHING_TO_DO : verdict;
};

/** The commands a guest may have carried out; all others are for its VMM to deal with. */
const REWRITES: Readonly<Record<number, Rewrite | undefined>> = {
  [OPCODE.TLBI_NSNH_ALL]: everything,
  [OPCODE.TLBI_NH_ALL]: withVmid,
  [OPCODE.TLBI_NH_ASID]: withVmid,
  [OPCODE.TLBI_NH_VA]: withVmid,
  [OPCODE.TLBI_NH_VAA]: withVmid,
  [OPCODE.CFGI_CD]: withSid,
  [OPCODE.CFGI_CD_ALL]: withSid,
  [OPCODE.ATC_INV]: atc,
};

/** Makes a guest's command fit for the physical queue, in place. */
export function rewriteCommand(command: Uint32Array, guest: GuestTranslation): CommandVerdict {
  return REWRITES[command[0]! & 0xff]?.(command, guest) ?? COMMAND.REFUSED;
}
