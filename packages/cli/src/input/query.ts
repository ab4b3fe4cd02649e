import { hiOf, loOf } from '@iommukit/bits';
import { ACCESS, ACCESS_NAMES, type Access, type AccessName, type DmaRequest } from '@iommukit/core';
import { parseDevice } from './device.ts';
import { parseAddress, parsePasid, shown } from './number.ts';

/** One DMA to ask about. */
export interface Query {
  readonly device: number;
  /** -1: a request without PASID. */
  readonly pasid: number;
  readonly iova: bigint;
  readonly access: Access;
  readonly privileged: boolean;
}

export function parseAccess(value: unknown): Access {
  const access = ACCESS_NAMES.indexOf(value as AccessName);
  if (access < 0) throw new RangeError(`access ${shown(value)} is none of ${ACCESS_NAMES.join(', ')}`);
  return access as Access;
}

/** A line of a batch file. `pasid`, `access` (read) and `privileged` (false) may be absent; other members are ignored. */
export function parseQuery(record: Readonly<Record<string, unknown>>, pciIds: boolean): Query {
  const { device, pasid = null, iova, access = 'read', privileged = false } = record;
  if (typeof privileged !== 'boolean') throw new RangeError(`privileged ${shown(privileged)} is not true or false`);
  return {
    device: parseDevice(device, pciIds),
    pasid: pasid === null ? -1 : parsePasid(pasid),
    iova: parseAddress(iova),
    access: parseAccess(access),
    privileged,
  };
}

const PRIVILEGED = 0x80;
const FIRST_CAPACITY = 64;

/** Many queries in little memory, so that a batch of millions can be checked whole before its first answer. */
export class QueryList {
  length = 0;
  #device = new Uint32Array(FIRST_CAPACITY);
  #pasid = new Int32Array(FIRST_CAPACITY);
  #iovaHi = new Int32Array(FIRST_CAPACITY);
  #iovaLo = new Int32Array(FIRST_CAPACITY);
  #flags = new Uint8Array(FIRST_CAPACITY);

  push(query: Query): void {
    if (this.length === this.#flags.length) this.#grow();
    const at = this.length++;
    this.#device[at] = query.device;
    this.#pasid[at] = query.pasid;
    this.#iovaHi[at] = hiOf(query.iova);
    this.#iovaLo[at] = loOf(query.iova);
    this.#flags[at] = query.access | (query.privileged ? PRIVILEGED : 0);
  }

  /** Puts query `at` into a request that is used again and again. */
  fill(at: number, request: DmaRequest): void {
    const flags = this.#flags[at]!;
    request.device = this.#device[at]!;
    request.pasid = this.#pasid[at]!;
    request.iovaHi = this.#iovaHi[at]!;
    request.iovaLo = this.#iovaLo[at]!;
    request.access = (flags & ACCESS_MASK) as Access;
    request.privileged = (flags & PRIVILEGED) !== 0;
  }

  #grow(): void {
    this.#device = doubled(this.#device, Uint32Array);
    this.#pasid = doubled(this.#pasid, Int32Array);
    this.#iovaHi = doubled(this.#iovaHi, Int32Array);
    this.#iovaLo = doubled(this.#iovaLo, Int32Array);
    this.#flags = doubled(this.#flags, Uint8Array);
  }
}

const ACCESS_MASK = ACCESS.READ | ACCESS.WRITE | ACCESS.EXECUTE;

function doubled<T extends { readonly length: number; set(from: T): void }>(
  from: T,
  make: new (length: number) => T,
): T {
  const to = new make(from.length * 2);
  to.set(from);
  return to;
}
