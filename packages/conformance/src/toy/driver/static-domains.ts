import { type DeviceHandle, ensure, type StaticDomainOps } from '@iommukit/core';
import { MODE } from '../format/context.ts';
import { Context } from './context.ts';
import type { ToyDevice } from './device-table.ts';
import type { ToyUnit } from './unit.ts';

/** Slots that point nowhere. */
export class BlockedDomain implements StaticDomainOps {
  readonly kind = 'blocked';
  readonly #unit: () => ToyUnit;

  constructor(unit: () => ToyUnit) {
    this.#unit = unit;
  }

  attach(device: DeviceHandle): void {
    this.attachPasid(device, 0);
  }

  attachPasid(device: DeviceHandle, pasid: number): void {
    const { gate, devices } = this.#unit();
    gate.run(() => devices.setSlot(device as ToyDevice, pasid, null));
  }

  free(): void {}
}

/** One BYPASS context for the whole unit, made when first needed. */
export class IdentityDomain implements StaticDomainOps {
  readonly kind = 'identity';
  readonly #unit: () => ToyUnit;
  #context: Context | null = null;

  constructor(unit: () => ToyUnit) {
    this.#unit = unit;
  }

  /** EOPNOTSUPP: the unit has no bypass. */
  attach(device: DeviceHandle): void {
    this.attachPasid(device, 0);
  }

  attachPasid(device: DeviceHandle, pasid: number): void {
    const { gate, devices } = this.#unit();
    const pointer = this.#pointer();
    gate.run(() => devices.setSlot(device as ToyDevice, pasid, pointer));
  }

  free(): void {
    this.#context?.free();
    this.#context = null;
  }

  #pointer(): number {
    const { features, ports } = this.#unit();
    ensure(features.capabilities.has('identity-passthrough'), 'EOPNOTSUPP', 'the unit has no bypass');
    this.#context ??= new Context(ports.memory, ports.pages, { MODE: MODE.BYPASS });
    return this.#context.pa;
  }
}
