import { bytesToWords, wordsToBytes } from '@iommukit/bits';
import {
  type DeviceHandle,
  ensure,
  INVALIDATE_DATA_TYPE,
  type InvalidationResult,
  IommuError,
  isIommuError,
  type NativeData,
  type NativeInvalidation,
  type NestedDomainOps,
  type ViommuOps,
} from '@iommukit/core';
import { COMMAND_BYTES } from '../format/commands.ts';
import type { EventTaker } from './event-consumer.ts';
import { BATCH } from './features.ts';
import { COMMAND, type GuestTranslation, rewriteCommand } from './guest-commands.ts';
import { guestEvent } from './guest-events.ts';
import { parseGuestSte } from './guest-ste.ts';
import { type Master, masterOf } from './master.ts';
import { NestedDomain, type NestedHost } from './nested-domain.ts';
import type { PagingDomain } from './paging-domain.ts';
import type { Smmu } from './smmu.ts';

const COMMAND_WORDS = COMMAND_BYTES / 4;
/** A chunk and its SYNC are one batch. */
const CHUNK = BATCH - 1;

/** Type of event records in the user API. */
const EVENTS_ARM_SMMUV3 = 1;

/** A guest's view of this unit: its StreamIDs, over the stage 2 of its virtual machine. */
export class Viommu implements ViommuOps, NestedHost, EventTaker {
  readonly parent: PagingDomain;
  private readonly smmu: Smmu;
  private readonly masters = new Map<bigint, Master>();
  private readonly guest: GuestTranslation;
  private listener: ((type: number, payload: Uint8Array) => void) | null = null;

  constructor(smmu: Smmu, parent: PagingDomain) {
    this.smmu = smmu;
    this.parent = parent;
    this.guest = {
      vmid: parent.tag,
      ats: smmu.features.ats,
      physicalSid: (virtual) => this.masters.get(BigInt(virtual))?.sids[0] ?? -1,
    };
  }

  /** Throws IommuError EOPNOTSUPP for flags, EINVAL and EIO as the guest's STE deserves. */
  allocNested(device: DeviceHandle, flags: number, data: NativeData): NestedDomainOps {
    masterOf(this.smmu, device);
    ensure(flags === 0, 'EOPNOTSUPP', 'a nested domain takes no flags here');
    const { config, words } = parseGuestSte(data);
    return new NestedDomain(this, config, words);
  }

  /** Throws IommuError EINVAL (other unit), EOPNOTSUPP (a device of several streams), EEXIST. */
  setVirtualId(device: DeviceHandle, virtualId: bigint): void {
    const master = masterOf(this.smmu, device);
    ensure(master.sids.length === 1, 'EOPNOTSUPP', 'the device has more than one StreamID');
    ensure(
      !this.masters.has(virtualId) && !this.knows(master),
      'EEXIST',
      `virtual StreamID ${virtualId} or its device`,
    );
    this.masters.set(virtualId, master);
    this.smmu.events.takers.set(master.sids[0]!, this);
  }

  clearVirtualId(device: DeviceHandle): void {
    const master = masterOf(this.smmu, device);
    const virtualId = this.virtualIdOf(master);
    if (virtualId === null) return;
    this.masters.delete(virtualId);
    this.smmu.events.takers.delete(master.sids[0]!);
  }

  knows(master: Master): boolean {
    return this.virtualIdOf(master) !== null;
  }

  onEvent(listener: ((type: number, payload: Uint8Array) => void) | null): void {
    this.listener = listener;
  }

  /** Hands a record of a device in the guest's hands to the guest, with the guest's StreamID in it. */
  take(words: Uint32Array): boolean {
    const entry = [...this.masters].find(([, { sids }]) => sids[0] === words[1]);
    if (this.listener === null || entry === undefined) return false;
    const [virtualId, { domain }] = entry;
    if (!(domain instanceof NestedDomain && domain.host === this)) return false;
    const event = guestEvent(words, Number(BigInt.asUintN(32, virtualId)));
    return event !== null && this.tell(wordsToBytes(event));
  }

  /**
   * A guest's commands, in chunks that end in a SYNC of ours. `done` counts those that the hardware has carried out: what
   * stands before a refused command is issued first. EINVAL: wrong type; E2BIG: entries with more in them than we know;
   * EIO: a command no guest may issue, an unknown StreamID, or one the hardware calls illegal.
   */
  invalidate(request: NativeInvalidation): InvalidationResult {
    if (request.type !== INVALIDATE_DATA_TYPE.ARM_SMMUV3)
      return { done: 0, error: new IommuError('EINVAL', `data type ${request.type} is no SMMUv3 command`) };
    return this.smmu.operation(() => this.carryOut(request));
  }

  free(): void {}

  private virtualIdOf(master: Master): bigint | null {
    for (const [virtualId, known] of this.masters) if (known === master) return virtualId;
    return null;
  }

  /** False when nobody listens for this type: the host keeps the record. */
  private tell(payload: Uint8Array): boolean {
    try {
      this.listener?.(EVENTS_ARM_SMMUV3, payload);
      return true;
    } catch (error) {
      if (isIommuError(error) && error.errno === 'EOPNOTSUPP') return false;
      throw error;
    }
  }

  private carryOut(request: NativeInvalidation): InvalidationResult {
    let done = 0;
    while (done < request.entryCount) {
      const wanted = Math.min(CHUNK, request.entryCount - done);
      const { carried, error } = this.chunk(request, done, wanted);
      done += carried;
      if (error !== null) return { done, error };
    }
    return { done, error: null };
  }

  private chunk(request: NativeInvalidation, first: number, count: number): { carried: number; error: Error | null } {
    const { queue } = this.smmu;
    const slots: number[] = [];
    let refused: Error | null = null;
    let taken = 0;
    queue.watch();
    try {
      for (; taken < count; taken++) {
        const command = new Uint32Array(COMMAND_WORDS);
        refused = readCommand(request, first + taken, command);
        if (refused !== null) break;
        const verdict = rewriteCommand(command, this.guest);
        if (verdict === COMMAND.REFUSED) refused = new IommuError('EIO', `command ${first + taken} is not for guests`);
        if (refused !== null) break;
        if (verdict === COMMAND.NOTHING_TO_DO) continue;
        queue.pushWords(command);
        slots.push(taken);
      }
      if (slots.length > 0) queue.sync();
    } catch (error) {
      if (isIommuError(error)) return { carried: 0, error };
      throw error;
    }
    const illegal = queue.illegal;
    if (illegal < 0) return { carried: taken, error: refused };
    return { carried: slots[illegal]!, error: new IommuError('EIO', 'the SMMU calls the command illegal') };
  }
}

/** Entry `index` as a command: shorter entries are filled up with zeros, longer ones must be zero beyond. */
function readCommand({ bytes, entryLength }: NativeInvalidation, index: number, command: Uint32Array): Error | null {
  const entry = bytes.subarray(index * entryLength, (index + 1) * entryLength);
  if (entry.subarray(COMMAND_BYTES).some((byte) => byte !== 0))
    return new IommuError('E2BIG', `command ${index} says more than this kernel knows`);
  command.set(bytesToWords(entry.subarray(0, COMMAND_BYTES)));
  return null;
}
