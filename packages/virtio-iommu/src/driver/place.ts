import { isIommuError } from '@iommukit/core';
import { REQUEST_STATUS } from '../format/requests.ts';
import type { VirtioDevice } from './device.ts';
import { type Mapping, Mirror } from './mirror.ts';
import type { Pending, RequestQueue } from './request-queue.ts';
import { attachRequest, detachRequest, mapRequest } from './requests.ts';
import { attachError, mapError } from './status.ts';

/** A domain as the device knows it by id. It exists there only while endpoints are in it; the mirror outlives that. */
export class Place {
  readonly id: number;
  /** Everything passes untranslated. */
  readonly bypass: boolean;
  /** Stays empty, to refuse everything. */
  readonly blocks: boolean;
  readonly mirror = new Mirror();
  /** Endpoint ids the device has in this domain. */
  members = 0;

  constructor(id: number, use: 'paging' | 'bypass' | 'blocked' = 'paging') {
    this.id = id;
    this.bypass = use === 'bypass';
    this.blocks = use === 'blocked';
  }

  /** Tells the device every mapping of the mirror: after its first endpoint came. Throws what the device refused. */
  replay(queue: RequestQueue): void {
    const sent: Pending[] = [];
    for (const mapping of this.mirror) sent.push(this.send(queue, mapping));
    if (sent.length > 0) queue.sync();
    for (const { status } of sent) if (status !== REQUEST_STATUS.OK) throw mapError(status);
  }

  send(queue: RequestQueue, mapping: Mapping): Pending {
    return queue.add(mapRequest(this.id, mapping));
  }
}

/**
 * Points a device at a domain, or at none. All its endpoint ids move, or none: on an error those that moved go back,
 * and a domain that vanished meanwhile is built again from its mirror.
 */
export function move(queue: RequestQueue, device: VirtioDevice, to: Place | null): void {
  const from = device.place;
  if (from === to) return;
  const moved: number[] = [];
  let asked: number | null = null;
  try {
    for (const endpoint of device.description.requesterIds) {
      asked = endpoint;
      put(queue, endpoint, from, to);
      asked = null;
      moved.push(endpoint);
      if (to?.members === 1) to.replay(queue);
    }
  } catch (error) {
    if (asked !== null && isIommuError(error) && error.errno === 'ETIMEDOUT') recall(queue, asked, from, to);
    for (const endpoint of moved.reverse()) putBack(queue, endpoint, to, from);
    throw error;
  }
  device.place = to;
}

function put(queue: RequestQueue, endpoint: number, from: Place | null, to: Place | null): void {
  if (to === null && from === null) return;
  const words = to ? attachRequest(to.id, endpoint, to.bypass) : detachRequest(from!.id, endpoint);
  const status = queue.submit(words);
  if (status !== REQUEST_STATUS.OK) throw attachError(to ? 'ATTACH' : 'DETACH', status);
  if (from) from.members--;
  if (to) to.members++;
}

/**
 * The device may still carry out a request it has not answered, so another one behind it takes it back. It moved the
 * endpoint out of a domain that is gone then if it was the last one there.
 */
function recall(queue: RequestQueue, endpoint: number, from: Place | null, to: Place | null): void {
  queue.later(from ? attachRequest(from.id, endpoint, from.bypass) : detachRequest(to!.id, endpoint));
  if (from?.members === 1) for (const mapping of from.mirror) queue.later(mapRequest(from.id, mapping));
  try {
    queue.sync();
  } catch (error) {
    if (!isIommuError(error)) throw error;
  }
}

/** Undoing must not hide the error that caused it; a device that refuses even this keeps its own last state. */
function putBack(queue: RequestQueue, endpoint: number, from: Place | null, to: Place | null): void {
  try {
    put(queue, endpoint, from, to);
    if (to?.members === 1) to.replay(queue);
  } catch (error) {
    if (!isIommuError(error)) throw error;
  }
}
