import type { DescriptorBatch } from './descriptors.ts';
import type { InvalidationQueue } from './invalidation-queue.ts';
import type { Invalidations } from './invalidations.ts';

/** Invalidation by descriptors: collects up to 16 of them and submits with one wait. */
export class QueuedInvalidations implements Invalidations {
  private readonly queue: InvalidationQueue;
  private readonly batch: DescriptorBatch;

  constructor(queue: InvalidationQueue, batch: DescriptorBatch) {
    this.queue = queue;
    this.batch = batch;
  }

  contextGlobal(): void {
    this.room().contextGlobal();
  }

  contextDevice(sid: number, did: number): void {
    this.room().contextDevice(sid, did);
  }

  pasidGlobal(): void {
    this.room().pasidGlobal();
  }

  pasidEntry(did: number, pasid: number): void {
    this.room().pasidEntry(did, pasid);
  }

  iotlbGlobal(): void {
    this.room().iotlbGlobal();
  }

  iotlbDomain(did: number): void {
    this.room().iotlbDomain(did);
  }

  iotlbPages(did: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    this.room().iotlbPages(did, hi, lo, order, leafOnly);
  }

  pasidIotlb(did: number, pasid: number): void {
    this.room().pasidIotlb(did, pasid);
  }

  pasidIotlbPages(did: number, pasid: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    this.room().pasidIotlbPages(did, pasid, hi, lo, order, leafOnly);
  }

  deviceTlb(sid: number, pasid: number, hi: number, lo: number, order: number): void {
    this.room().deviceTlb(sid, pasid, hi, lo, order);
  }

  sync(): void {
    const { batch } = this;
    const { count } = batch;
    if (count === 0) return;
    batch.count = 0;
    this.queue.submit(batch.words, count);
  }

  private room(): DescriptorBatch {
    if (this.batch.full) this.sync();
    return this.batch;
  }
}
