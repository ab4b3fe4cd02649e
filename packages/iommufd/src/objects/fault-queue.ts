import { ensure, PAGE_RESPONSE, type PageRequest, type PageRequestGroup } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { DeviceObject } from './device.ts';
import { OwnedGroup } from './group.ts';
import { IommufdObject } from './object.ts';
import type { RecordStream } from './stream.ts';

export const FAULT_RECORD_BYTES = 40;
export const RESPONSE_BYTES = 8;

/** All requests of one page-request group, answered together. */
export interface QueuedGroup {
  /** The device whose attach (or replace) made the attachment. */
  readonly device: DeviceObject;
  /** PASID of the attachment they came through. */
  readonly pasid: number;
  readonly requests: readonly PageRequest[];
  /** Carries the answer back to the hardware. */
  respond(code: number): void;
}

/** Page faults of the HWPTs that name this queue. Reading gives whole groups; writing answers them. */
export class FaultQueue extends IommufdObject implements RecordStream {
  readonly type = 'fault';
  onReadable: (() => void) | null = null;
  readonly responseBytes = RESPONSE_BYTES;
  #waiting: QueuedGroup[] = [];
  readonly #delivered = new Map<number, QueuedGroup>();

  static create(context: IommufdContext): FaultQueue {
    context.injector.use('alloc');
    const queue = new FaultQueue(context);
    queue.retain();
    context.hold();
    return queue;
  }

  get readable(): boolean {
    return this.#waiting.length > 0;
  }

  /** A group from the core. */
  take({ device, pasid, requests, respond }: PageRequestGroup): void {
    const maker = OwnedGroup.of(device.group)?.makerOf(pasid) ?? null;
    ensure(maker !== null, 'EINVAL', 'nothing is attached there');
    this.context.injector.use('alloc');
    this.deliver({ device: maker, pasid, requests, respond });
  }

  deliver(group: QueuedGroup): void {
    this.#waiting.push(group);
    this.onReadable?.();
  }

  /** Answers everything of one attachment with INVALID: it is going away. */
  cancel(device: DeviceObject, pasid: number): void {
    const mine = (group: QueuedGroup) => group.device.owned === device.owned && group.pasid === pasid;
    const gone = this.#waiting.filter(mine);
    this.#waiting = this.#waiting.filter((group) => !mine(group));
    for (const [cookie, group] of this.#delivered) {
      if (!mine(group)) continue;
      this.#delivered.delete(cookie);
      gone.push(group);
    }
    for (const group of gone) group.respond(PAGE_RESPONSE.INVALID);
  }

  /** ESPIPE: not a whole number of records; EINVAL: the first group does not fit. */
  read(count: number): Uint8Array {
    ensure(count % FAULT_RECORD_BYTES === 0, 'ESPIPE', 'no whole number of records');
    const parts: Uint8Array[] = [];
    let room = count;
    while (this.#waiting.length > 0) {
      const group = this.#waiting[0]!;
      const size = group.requests.length * FAULT_RECORD_BYTES;
      if (size > room) break;
      this.#waiting.shift();
      const cookie = this.#lowestCookie();
      this.#delivered.set(cookie, group);
      parts.push(encode(group, cookie));
      room -= size;
    }
    ensure(parts.length > 0 || !this.readable, 'EINVAL', 'the first group does not fit');
    return Buffer.concat(parts);
  }

  /** Takes a group that was just read back, because its bytes never reached the reader. */
  unread(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const cookies = new Set<number>();
    for (let at = 0; at < bytes.length; at += FAULT_RECORD_BYTES) cookies.add(view.getUint32(at + 36, true));
    const groups = [...cookies].map((cookie) => this.#delivered.get(cookie)!);
    for (const cookie of cookies) this.#delivered.delete(cookie);
    this.#waiting = [...groups, ...this.#waiting];
  }

  /** Answers {cookie, code}; stops at the first bad one and returns the bytes taken, or EINVAL if that was the first. */
  write(bytes: Uint8Array): number {
    ensure(bytes.length % RESPONSE_BYTES === 0, 'ESPIPE', 'no whole number of responses');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += RESPONSE_BYTES) {
      if (this.#answer(view.getUint32(at, true), view.getUint32(at + 4, true))) continue;
      ensure(at > 0, 'EINVAL', 'no such fault, or no such code');
      return at;
    }
    return bytes.length;
  }

  close(): void {
    this.onReadable = null;
    this.release();
    this.context.drop();
  }

  dispose(): void {
    for (const group of [...this.#waiting, ...this.#delivered.values()]) group.respond(PAGE_RESPONSE.INVALID);
    this.#waiting = [];
    this.#delivered.clear();
  }

  #answer(cookie: number, code: number): boolean {
    const group = this.#delivered.get(cookie);
    if (!group || (code !== PAGE_RESPONSE.SUCCESS && code !== PAGE_RESPONSE.INVALID)) return false;
    this.#delivered.delete(cookie);
    group.respond(code);
    return true;
  }

  #lowestCookie(): number {
    let cookie = 1;
    while (this.#delivered.has(cookie)) cookie++;
    return cookie;
  }
}

function encode({ device, requests }: QueuedGroup, cookie: number): Uint8Array {
  const bytes = new Uint8Array(requests.length * FAULT_RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { flags, pasid, groupId, perm, address }] of requests.entries()) {
    const at = i * FAULT_RECORD_BYTES;
    for (const [n, word] of [flags, device.id, pasid, groupId, perm].entries()) view.setUint32(at + n * 4, word, true);
    view.setBigUint64(at + 24, address, true);
    view.setUint32(at + 36, cookie, true);
  }
  return bytes;
}
