import type { Gather } from '@iommukit/core';
import { OPCODE } from '../format/commands.ts';
import type { CommandProducer } from './command-producer.ts';
import { tlbiNhAll, tlbiNhAsid, tlbiS12 } from './commands.ts';
import type { Features } from './features.ts';

const TWO_32 = 2 ** 32;
const LEAF = 1;
const TTL_SHIFT = 8;
const TG_SHIFT = 10;
const NUM_SHIFT = 12;
const SCALE_SHIFT = 20;
const NUM_MAX = 31;
/** Longest range, in granules, that NUM and SCALE of 5 bits are asked to spell out. */
const RANGE_LIMIT = 2 ** 31;

/** A range of one address space, in bytes. */
interface Range {
  readonly start: number;
  readonly bytes: number;
  /** log2 of the smallest leaf in it. */
  readonly leafLg2: number;
  /** Only leaves went; otherwise tables did too, and what the hardware remembers of the walk must go. */
  readonly leafOnly: boolean;
  /** All leaves had one size, so that their level may be named. */
  readonly uniform: boolean;
}

/** Turns what was unmapped into TLB maintenance, and waits for it. */
export class Invalidator {
  private readonly queue: CommandProducer;
  private readonly features: Features;

  constructor(queue: CommandProducer, features: Features) {
    this.queue = queue;
    this.features = features;
  }

  stage1(asid: number, gather: Gather): void {
    const range = rangeOf(gather);
    if (this.tooLong(range)) tlbiNhAsid(this.queue, asid);
    else this.addresses(OPCODE.TLBI_NH_VA, asid << 16, range);
    this.queue.sync();
  }

  stage1All(asid: number): void {
    tlbiNhAsid(this.queue, asid);
    this.queue.sync();
  }

  /**
   * `underStage1`: guests translate on top. Entries that combine both stages carry the guest's address and need not be
   * found by IPA, so all of the VMID's go, after the stage-2 entries they could be rebuilt from (IHI 0070 4.4.2).
   */
  stage2(vmid: number, gather: Gather, underStage1: boolean): void {
    const range = rangeOf(gather);
    if (this.tooLong(range)) {
      this.stage2All(vmid);
      return;
    }
    this.addresses(OPCODE.TLBI_S2_IPA, vmid, range);
    this.queue.sync();
    if (!underStage1) return;
    tlbiNhAll(this.queue, vmid);
    this.queue.sync();
  }

  stage2All(vmid: number): void {
    tlbiS12(this.queue, vmid);
    this.queue.sync();
  }

  /** Beyond this, one command for the whole address space is cheaper than one for each page. */
  private tooLong({ bytes, leafLg2 }: Range): boolean {
    const { granuleLg2, rangeInvalidation } = this.features;
    if (rangeInvalidation) return bytes >= 2 ** granuleLg2 * RANGE_LIMIT;
    return bytes >= 2 ** leafLg2 * 2 ** (granuleLg2 - 3);
  }

  private addresses(opcode: number, tag: number, range: Range): void {
    if (this.features.rangeInvalidation) {
      this.ranges(opcode, tag, range);
      return;
    }
    const step = 2 ** range.leafLg2;
    const leaf = range.leafOnly ? LEAF : 0;
    for (let done = 0; done < range.bytes; done += step) this.address(opcode, tag, range.start + done, leaf);
  }

  /**
   * IDR3.RIL: a range is (NUM + 1) << SCALE granules, so a length is peeled off five bits at a time from its lowest set
   * bit. NUM = SCALE = TTL = 0 is an illegal command: without a level hint a lone granule takes its neighbour with it.
   */
  private ranges(opcode: number, tag: number, range: Range): void {
    const { granuleLg2 } = this.features;
    const named = range.leafOnly && range.uniform;
    const ttl = named ? 4 - (range.leafLg2 - 3) / (granuleLg2 - 3) : 0;
    const low = (range.leafOnly ? LEAF : 0) | (ttl << TTL_SHIFT) | (((granuleLg2 - 10) >> 1) << TG_SHIFT);
    let granules = range.bytes / 2 ** granuleLg2;
    if (ttl === 0 && (granules & NUM_MAX) === 1) granules++;
    let at = range.start;
    while (granules > 0) {
      const scale = 31 - Math.clz32(granules & -granules);
      const count = (granules >>> scale) & NUM_MAX;
      this.address(opcode | ((count - 1) << NUM_SHIFT) | (scale << SCALE_SHIFT), tag, at, low);
      at += count * 2 ** (scale + granuleLg2);
      granules -= count * 2 ** scale;
    }
  }

  private address(word0: number, tag: number, at: number, low: number): void {
    this.queue.push(word0, tag, (at & -4096) | low, Math.floor(at / TWO_32) | 0);
  }
}

function rangeOf(gather: Gather): Range {
  return {
    start: Number(gather.start),
    bytes: Number(gather.last - gather.start) + 1,
    leafLg2: Math.log2(Number(gather.pageSize)),
    leafOnly: gather.freed.length === 0,
    uniform: gather.leafSizes === gather.pageSize,
  };
}
