import type { MmioRegion } from '@iommukit/core';
import type { Observers } from '../observer.ts';
import type { Unit } from '../unit.ts';

/** What happens when an access or a DMA is over: time passes, due work runs, interrupts are delivered. */
export interface Pulse {
  tick(): void;
}

/** A unit's register frame as software reaches it: every access is a tick. */
export class SoftwareMmio implements MmioRegion {
  private readonly unit: Unit;
  private readonly target: MmioRegion;
  private readonly pulse: Pulse;
  private readonly observers: Observers;

  constructor(unit: Unit, target: MmioRegion, pulse: Pulse, observers: Observers) {
    this.unit = unit;
    this.target = target;
    this.pulse = pulse;
    this.observers = observers;
  }

  read8(offset: number): number {
    return this.done(offset, 1, this.target.read8(offset));
  }

  read16(offset: number): number {
    return this.done(offset, 2, this.target.read16(offset));
  }

  read32(offset: number): number {
    return this.done(offset, 4, this.target.read32(offset));
  }

  read64(offset: number): bigint {
    return this.done(offset, 8, this.target.read64(offset));
  }

  write8(offset: number, value: number): void {
    if (this.observers.count !== 0) this.tellWrite(offset, 1, value);
    this.target.write8(offset, value);
    this.pulse.tick();
  }

  write16(offset: number, value: number): void {
    if (this.observers.count !== 0) this.tellWrite(offset, 2, value);
    this.target.write16(offset, value);
    this.pulse.tick();
  }

  write32(offset: number, value: number): void {
    if (this.observers.count !== 0) this.tellWrite(offset, 4, value);
    this.target.write32(offset, value);
    this.pulse.tick();
  }

  write64(offset: number, value: bigint): void {
    if (this.observers.count !== 0) this.tellWrite(offset, 8, value);
    this.target.write64(offset, value);
    this.pulse.tick();
  }

  private done<T extends number | bigint>(offset: number, size: 1 | 2 | 4 | 8, value: T): T {
    if (this.observers.count !== 0) this.observers.tell((observer) => observer.read?.(this.unit, offset, size, value));
    this.pulse.tick();
    return value;
  }

  private tellWrite(offset: number, size: 1 | 2 | 4 | 8, value: number | bigint): void {
    this.observers.tell((observer) => observer.write?.(this.unit, offset, size, value));
  }
}
