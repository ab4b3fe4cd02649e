import { hiOf, loOf } from '@iommukit/bits';
import { ACCESS_NAMES, type AccessName, DmaAnswer, DmaRequest, OUTCOME } from '@iommukit/core';
import type { RigDevice } from './rig-device.ts';

/** A device's requests straight at its unit: no time passes between them, so that software sees none of it. */
export class DirectPort {
  readonly answer = new DmaAnswer();
  readonly #request = new DmaRequest();
  readonly #device: RigDevice;

  constructor(device: RigDevice) {
    this.#device = device;
    this.#request.device = device.id;
  }

  /** Whether the unit lets the access through; the rest stands in {@link answer}. */
  passes(access: AccessName, iova: bigint): boolean {
    const request = this.#request;
    request.access = ACCESS_NAMES.indexOf(access) as typeof request.access;
    request.iovaHi = hiOf(iova);
    request.iovaLo = loOf(iova);
    this.#device.endpoint.unit.hardware.translate(request, this.answer);
    return this.answer.outcome !== OUTCOME.FAULT;
  }
}
