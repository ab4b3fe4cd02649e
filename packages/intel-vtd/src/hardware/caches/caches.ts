import { ContextCache } from './context-cache.ts';
import { Iotlb } from './iotlb.ts';
import type { PagingCache } from './paging-cache.ts';
import { PasidCache } from './pasid-cache.ts';

/** Everything the unit may remember. None of it is architectural; it leaves only on command or by replacement. */
export class Caches {
  readonly contexts = new ContextCache();
  readonly pasids = new PasidCache();
  readonly iotlb = new Iotlb();
  firstStage!: PagingCache;
  secondStage!: PagingCache;

  clear(): void {
    this.contexts.clear();
    this.pasids.clear();
    this.clearTranslations();
  }

  clearTranslations(): void {
    this.iotlb.clear();
    this.firstStage.clear();
    this.secondStage.clear();
  }
}
