import { bytesToWords } from '@iommukit/bits';
import {
  type DeviceHandle,
  ensure,
  type InvalidationResult,
  IommuError,
  type NativeData,
  type NativeInvalidation,
  type NestedDomainOps,
} from '@iommukit/core';
import { GUEST_COMMAND, NESTED_DATA, OP, TOY_DATA_TYPE } from '../format/commands.ts';
import { MODE } from '../format/context.ts';
import { Context } from './context.ts';
import type { ToyDevice } from './device-table.ts';
import type { Gate } from './gate.ts';
import type { ToyPagingDomain } from './paging-domain.ts';

/** A guest's table over a parent's, with a tag of its own in the caches. */
export class ToyNestedDomain implements NestedDomainOps {
  readonly kind = 'nested';
  readonly #parent: ToyPagingDomain;
  readonly #gtag: number;
  readonly #context: Context;

  /** EINVAL: wrong type, length or bits; ENOMEM, ENOSPC. */
  constructor(parent: ToyPagingDomain, data: NativeData) {
    const { ports, guestTags } = parent.unit;
    const groot = guestRoot(data);
    this.#parent = parent;
    this.#gtag = guestTags.take();
    try {
      const [ROOT, GROOT] = [parent.table.root, groot];
      const fields = { MODE: MODE.NESTED, TAG: parent.tag, GTAG: this.#gtag, ROOT, GROOT };
      this.#context = new Context(ports.memory, ports.pages, fields);
    } catch (error) {
      guestTags.give(this.#gtag);
      throw error;
    }
  }

  attach(device: DeviceHandle): void {
    this.attachPasid(device, 0);
  }

  attachPasid(device: DeviceHandle, pasid: number): void {
    const { devices, gate } = this.#parent.unit;
    gate.run(() => devices.setSlot(device as ToyDevice, pasid, this.#context.pa));
  }

  flush(): void {
    this.#parent.unit.commands.invalidateGuest(this.#parent.tag, this.#gtag);
  }

  flushRange(start: bigint, count: number): void {
    this.#parent.unit.commands.invalidateGuestRange(this.#parent.tag, this.#gtag, start, count);
  }

  free(): void {
    const { gate, guestTags } = this.#parent.unit;
    gate.run(() => {
      this.flush();
      this.#context.free();
      guestTags.give(this.#gtag);
    });
  }
}

/** A nested domain made on its parent takes the guest's commands itself. */
export class DirectNestedDomain extends ToyNestedDomain {
  readonly #gate: Gate;

  constructor(parent: ToyPagingDomain, data: NativeData) {
    super(parent, data);
    this.#gate = parent.unit.gate;
  }

  invalidate(request: NativeInvalidation): InvalidationResult {
    return this.#gate.run(() => carryOut(request, (vdevice) => (vdevice === 0 ? [this] : [])));
  }
}

/** Carries out guest commands up to the first bad one; `targets` finds the domains a VDEVICE means. */
export function carryOut(
  request: NativeInvalidation,
  targets: (vdevice: number) => readonly ToyNestedDomain[],
): InvalidationResult {
  const { type, entryLength, entryCount, bytes } = request;
  if (type !== TOY_DATA_TYPE) return { done: 0, error: new IommuError('EINVAL', `no invalidation of type ${type}`) };
  for (let done = 0; done < entryCount; done++) {
    const entry = bytes.subarray(done * entryLength, (done + 1) * entryLength);
    const error = entryLength === GUEST_COMMAND.bytes ? one(entry, targets) : new IommuError('EINVAL', 'entry length');
    if (error) return { done, error };
  }
  return { done: entryCount, error: null };
}

function one(bytes: Uint8Array, targets: (vdevice: number) => readonly ToyNestedDomain[]): Error | null {
  const words = bytesToWords(bytes);
  const { OP: op, VDEVICE, COUNT, ADDR } = GUEST_COMMAND.decode(words);
  if (GUEST_COMMAND.reserved(words).length > 0) return new IommuError('EIO', 'reserved bits in a guest command');
  const domains = targets(VDEVICE);
  if (domains.length === 0) return new IommuError('EIO', `no device has the virtual id ${VDEVICE}`);
  if (op === OP.INV_GUEST) for (const domain of domains) domain.flush();
  else if (op === OP.INV_GUEST_RANGE) for (const domain of domains) domain.flushRange(ADDR, COUNT + 1);
  else return new IommuError('EIO', `a guest has no command ${op}`);
  return null;
}

function guestRoot({ type, bytes }: NativeData): bigint {
  ensure(type === TOY_DATA_TYPE, 'EINVAL', `no nested domain of type ${type}`);
  ensure(bytes.length === NESTED_DATA.bytes, 'EINVAL', `nested data has ${NESTED_DATA.bytes} bytes`);
  const words = bytesToWords(bytes);
  ensure(NESTED_DATA.reserved(words).length === 0, 'EINVAL', 'reserved bits in nested data');
  return NESTED_DATA.decode(words).GROOT;
}
