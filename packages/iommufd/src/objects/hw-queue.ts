import { ensure, type HwQueueOps } from '@iommukit/core';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import { Access, type Pin } from './access.ts';
import { IommufdObject } from './object.ts';
import type { ViommuObject } from './viommu.ts';

export interface HwQueueParams {
  readonly type: number;
  readonly index: number;
  /** In the nesting parent's address space; neither has to be page-aligned. */
  readonly iova: bigint;
  readonly length: bigint;
}

/** A queue in guest memory that hardware reads by itself. The memory stays pinned and mapped while it lives. */
export class HwQueue extends IommufdObject {
  readonly type = 'hw-queue';
  readonly viommu: ViommuObject;
  readonly queueType: number;
  readonly index: number;
  #access: Access | null = null;
  #pin: Pin | null = null;
  #ops: HwQueueOps | null = null;
  #base: HwQueue | null = null;

  private constructor(viommu: ViommuObject, { type, index }: HwQueueParams) {
    super(viommu.context);
    this.viommu = viommu;
    this.queueType = type;
    this.index = index;
    viommu.retain();
  }

  /**
   * Pins the parent's memory under the queue and hands its physical address to the vendor. Takes two ids: its own, and
   * one for the access that pins. ERANGE: no room to round to pages; EADDRINUSE, EINVAL, EPERM, ENOENT of pinning;
   * EFAULT: not physically contiguous; then the vendor's own.
   */
  static create(viommu: ViommuObject, params: HwQueueParams): HwQueue {
    viommu.context.injector.use('alloc');
    const queue = new HwQueue(viommu, params);
    try {
      viommu.context.publish(queue);
      queue.#open(params);
      return queue;
    } catch (error) {
      if (queue.id !== 0) viommu.context.table.remove(queue);
      queue.dispose();
      throw error;
    }
  }

  dispose(): void {
    this.#ops?.free();
    if (this.#base) this.#base.release();
    if (this.#ops) this.viommu.queues.delete(this.#ops);
    for (const area of this.#areas()) area.locks--;
    this.#access?.destroy();
    this.viommu.release();
  }

  #open({ type, index, iova, length }: HwQueueParams): void {
    const start = iova & -PAGE_SIZE;
    const end = (iova + length + PAGE_SIZE - 1n) & -PAGE_SIZE;
    ensure(end < 1n << 64n, 'ERANGE', 'the last page ends past the address space');
    this.#access = Access.create(this.context, { needsPins: true, unmap: () => {} });
    this.#access.attach(this.viommu.parent.ioas);
    const pin = this.#access.pin(start, end - start, false);
    ensure(pin.extents.length === 1, 'EFAULT', 'the memory is not physically contiguous');
    this.#pin = pin;
    for (const area of this.#areas()) area.locks++;
    this.context.injector.use('vendor');
    const pa = pin.extents[0]!.pa + (iova - start);
    this.#ops = this.viommu.viommu.ops.createQueue!(type, index, { iova, pa, length });
    this.#dependOn(this.#ops.dependsOn ?? null);
    this.viommu.queues.set(this.#ops, this);
  }

  /** EINVAL: another vIOMMU's queue, or one of another type. */
  #dependOn(ops: HwQueueOps | null): void {
    if (!ops) return;
    const base = this.viommu.queues.get(ops);
    ensure(base !== undefined && base.queueType === this.queueType, 'EINVAL', 'no queue to build on');
    base.retain();
    this.#base = base;
  }

  #areas() {
    if (!this.#pin) return [];
    const { iova, length } = this.#pin;
    return this.viommu.parent.ioas.space.areas.within(iova, iova + length - 1n);
  }
}
