import type { Caches } from './caches/caches.ts';

const EVERYTHING_LG2 = 64;

/** log2 of the bytes that an address mask covers. */
const rangeLg2 = (mask: number): number => Math.min(12 + mask, EVERYTHING_LG2);

/**
 * What each invalidation drops: the matrix of VT-d 6.5.2 and 6.2, row by row. Nothing crosses from one group of caches
 * to another; dropping a context entry leaves what the IOTLB learnt through it. DID bits above the width of CAP.ND are
 * the caller's to cut.
 */
export class Invalidator {
  private readonly caches: Caches;

  constructor(caches: Caches) {
    this.caches = caches;
  }

  contextsAll(): void {
    this.caches.contexts.clear();
  }

  contextsOfDomain(did: number): void {
    this.caches.contexts.dropDomain(did);
  }

  /** `did` -1: whatever the domain (scalable mode). */
  contextsOfDevice(sid: number, functionMask: number, did: number): void {
    this.caches.contexts.dropDevice(sid, functionMask, did);
  }

  pasidsAll(): void {
    this.caches.pasids.clear();
  }

  pasidsOfDomain(did: number): void {
    this.caches.pasids.dropDomain(did);
  }

  pasid(did: number, pasid: number): void {
    this.caches.pasids.dropPasid(did, pasid);
  }

  translationsAll(): void {
    this.caches.clearTranslations();
  }

  translationsOfDomain(did: number): void {
    const { iotlb, firstStage, secondStage } = this.caches;
    iotlb.dropDomain(did);
    firstStage.drop(did, -1, EVERYTHING_LG2, 0, 0);
    secondStage.drop(did, -1, EVERYTHING_LG2, 0, 0);
  }

  /** By second-stage address: first-stage results cannot be told apart by it, so all of the domain's go. */
  pages(did: number, addressMask: number, leavesOnly: boolean, hi: number, lo: number): void {
    const { iotlb, firstStage, secondStage } = this.caches;
    const range = rangeLg2(addressMask);
    iotlb.dropPages(did, -1, range, hi, lo);
    iotlb.dropFirstStages(did);
    firstStage.drop(did, -1, EVERYTHING_LG2, 0, 0);
    if (!leavesOnly) secondStage.drop(did, -1, range, hi, lo);
  }

  translationsOfPasid(did: number, pasid: number): void {
    this.caches.iotlb.dropPasid(did, pasid);
    this.caches.firstStage.drop(did, pasid, EVERYTHING_LG2, 0, 0);
  }

  pagesOfPasid(did: number, pasid: number, addressMask: number, leavesOnly: boolean, hi: number, lo: number): void {
    const range = rangeLg2(addressMask);
    this.caches.iotlb.dropPages(did, pasid, range, hi, lo);
    if (!leavesOnly) this.caches.firstStage.drop(did, pasid, range, hi, lo);
  }
}
