import { hiOf, loOf } from '@iommukit/bits';
import { MAP_FLAG, MAP_WORD, REQUEST_STATUS, type RequestStatus, UNMAP_WORD } from '../format/requests.ts';
import { atMost, below, carry, FLIP } from './address.ts';
import type { Domain, DomainTable } from './domains.ts';
import type { FeatureState } from './features.ts';
import { MAPPING } from './mapping-tree.ts';
import type { ReservedRegions } from './regions.ts';
import type { VirtioIommuHardware } from './settings.ts';

const { OK, INVAL, RANGE, NOENT, FAULT, NOMEM } = REQUEST_STATUS;
const ALL_FLAGS = MAP_FLAG.READ | MAP_FLAG.WRITE | MAP_FLAG.MMIO;

/** What is translated where the device offers no INPUT_RANGE. */
const WHOLE_SPACE = { start: 0n, last: (1n << 64n) - 1n };

/** MAP and UNMAP. Virtio 1.3 §5.13.6.5 and §5.13.6.6. Range ends are inclusive; all halves below are flipped. */
export class MappingRequests {
  private readonly table: DomainTable;
  private readonly features: FeatureState;
  /** Address bits below the granule, as halves. */
  private readonly maskHi: number;
  private readonly maskLo: number;
  /** Bits of the high and low half that a guest-physical address must not have. */
  private readonly beyondHi: number;
  private readonly beyondLo: number;
  private readonly input: Int32Array;

  constructor(settings: VirtioIommuHardware, table: DomainTable, features: FeatureState) {
    this.table = table;
    this.features = features;
    const below = (settings.pageSizeMask & -settings.pageSizeMask) - 1n;
    this.maskHi = hiOf(below);
    this.maskLo = loOf(below);
    const beyond = ~((1n << BigInt(settings.physicalBits)) - 1n);
    this.beyondHi = hiOf(beyond);
    this.beyondLo = loOf(beyond);
    const { start, last } = settings.features.includes('INPUT_RANGE') ? settings.inputRange : WHOLE_SPACE;
    this.input = Int32Array.of(hiOf(start) ^ FLIP, loOf(start) ^ FLIP, hiOf(last) ^ FLIP, loOf(last) ^ FLIP);
  }

  map(words: Int32Array): RequestStatus {
    const flags = words[MAP_WORD.FLAGS]!;
    if ((flags & ~ALL_FLAGS) !== 0) return INVAL;
    if ((flags & MAP_FLAG.MMIO) !== 0 && !this.features.mmio) return INVAL;
    const domain = this.table.domain(words[MAP_WORD.DOMAIN]!);
    if (domain === undefined) return NOENT;
    if (domain.bypass) return INVAL;
    if (!this.isAligned(words)) return RANGE;
    const startHi = words[MAP_WORD.VIRT_START + 1]! ^ FLIP;
    const startLo = words[MAP_WORD.VIRT_START]! ^ FLIP;
    const lastHi = words[MAP_WORD.VIRT_END + 1]! ^ FLIP;
    const lastLo = words[MAP_WORD.VIRT_END]! ^ FLIP;
    if (!this.isInput(startHi, startLo, lastHi, lastLo)) return RANGE;
    if (this.isTaken(domain, startHi, startLo, lastHi, lastLo)) return INVAL;
    if (!this.isPhysical(words)) return FAULT;
    if (!domain.tree.hasRoom()) return NOMEM;
    this.add(domain, words);
    return OK;
  }

  unmap(words: Int32Array): RequestStatus {
    if (words[UNMAP_WORD.RESERVED] !== 0) return INVAL;
    const domain = this.table.domain(words[UNMAP_WORD.DOMAIN]!);
    if (domain === undefined) return NOENT;
    if (domain.bypass) return INVAL;
    const startHi = words[UNMAP_WORD.VIRT_START + 1]! ^ FLIP;
    const startLo = words[UNMAP_WORD.VIRT_START]! ^ FLIP;
    const lastHi = words[UNMAP_WORD.VIRT_END + 1]! ^ FLIP;
    const lastLo = words[UNMAP_WORD.VIRT_END]! ^ FLIP;
    if (below(lastHi, lastLo, startHi, startLo)) return RANGE;
    if (this.isCut(domain, startHi, startLo, lastHi, lastLo)) return RANGE;
    this.removeAll(domain, startHi, startLo, lastHi, lastLo);
    this.table.cache.drop();
    return OK;
  }

  /** Whether some region shares an address with some mapping of the domain. */
  collides(domain: Domain, regions: ReservedRegions): boolean {
    return regions.some((startHi, startLo, lastHi, lastLo) => this.isMapped(domain, startHi, startLo, lastHi, lastLo));
  }

  /** `virt_end + 1` is aligned when the bits below the granule are all ones; the top page needs no 65th bit. */
  private isAligned(words: Int32Array): boolean {
    const { maskHi, maskLo } = this;
    const { VIRT_START, PHYS_START, VIRT_END } = MAP_WORD;
    const lo = words[VIRT_START]! | words[PHYS_START]! | ~words[VIRT_END]!;
    const hi = words[VIRT_START + 1]! | words[PHYS_START + 1]! | ~words[VIRT_END + 1]!;
    return (lo & maskLo) === 0 && (hi & maskHi) === 0;
  }

  private isInput(startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    const { input } = this;
    return (
      atMost(startHi, startLo, lastHi, lastLo) &&
      atMost(input[0]!, input[1]!, startHi, startLo) &&
      atMost(lastHi, lastLo, input[2]!, input[3]!)
    );
  }

  private isTaken(domain: Domain, startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    if (this.isMapped(domain, startHi, startLo, lastHi, lastLo)) return true;
    for (const regions of domain.regions) {
      if (regions.touching(startHi, startLo, lastHi, lastLo) !== -1) return true;
    }
    return false;
  }

  private isMapped(domain: Domain, startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    const found = domain.tree.floor(lastHi, lastLo);
    if (found === -1) return false;
    const { cells } = this.table.store.mappings;
    return atMost(startHi, startLo, cells[found + MAPPING.LAST_HI]!, cells[found + MAPPING.LAST_LO]!);
  }

  /** The last byte, `phys_start + (virt_end - virt_start)`, neither wraps nor leaves guest-physical space. */
  private isPhysical(words: Int32Array): boolean {
    const { PHYS_START, VIRT_START, VIRT_END } = MAP_WORD;
    const physLo = words[PHYS_START]!;
    const physHi = words[PHYS_START + 1]!;
    const spanLo = (words[VIRT_END]! - words[VIRT_START]!) | 0;
    const spanHi = (words[VIRT_END + 1]! - words[VIRT_START + 1]! - carry(words[VIRT_END]!, words[VIRT_START]!)) | 0;
    const endLo = (physLo + spanLo) | 0;
    const endHi = (physHi + spanHi + carry(endLo, physLo)) | 0;
    const wraps = below(endHi ^ FLIP, endLo ^ FLIP, physHi ^ FLIP, physLo ^ FLIP);
    return !wraps && (endHi & this.beyondHi) === 0 && (endLo & this.beyondLo) === 0;
  }

  private add(domain: Domain, words: Int32Array): void {
    const virtLo = words[MAP_WORD.VIRT_START]!;
    const virtHi = words[MAP_WORD.VIRT_START + 1]!;
    const physLo = words[MAP_WORD.PHYS_START]!;
    const mapping = domain.tree.insert(virtHi ^ FLIP, virtLo ^ FLIP);
    const { cells } = this.table.store.mappings;
    cells[mapping + MAPPING.START_HI] = virtHi ^ FLIP;
    cells[mapping + MAPPING.START_LO] = virtLo ^ FLIP;
    cells[mapping + MAPPING.LAST_HI] = words[MAP_WORD.VIRT_END + 1]! ^ FLIP;
    cells[mapping + MAPPING.LAST_LO] = words[MAP_WORD.VIRT_END]! ^ FLIP;
    cells[mapping + MAPPING.DELTA_LO] = physLo - virtLo;
    cells[mapping + MAPPING.DELTA_HI] = words[MAP_WORD.PHYS_START + 1]! - virtHi - carry(physLo, virtLo);
    cells[mapping + MAPPING.FLAGS] = words[MAP_WORD.FLAGS]!;
  }

  /** Whether the range ends or begins inside a mapping. */
  private isCut(domain: Domain, startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    const { cells } = this.table.store.mappings;
    const first = domain.tree.floor(startHi, startLo);
    if (first !== -1) {
      const begins = below(cells[first + MAPPING.START_HI]!, cells[first + MAPPING.START_LO]!, startHi, startLo);
      const reaches = atMost(startHi, startLo, cells[first + MAPPING.LAST_HI]!, cells[first + MAPPING.LAST_LO]!);
      if (begins && reaches) return true;
    }
    const last = domain.tree.floor(lastHi, lastLo);
    return last !== -1 && below(lastHi, lastLo, cells[last + MAPPING.LAST_HI]!, cells[last + MAPPING.LAST_LO]!);
  }

  /** Every step removes one mapping, so the number of mappings bounds the loop. */
  private removeAll(domain: Domain, startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    const { tree } = domain;
    for (let found = tree.ceiling(startHi, startLo); found !== -1; found = tree.ceiling(startHi, startLo)) {
      const { cells } = this.table.store.mappings;
      const hi = cells[found + MAPPING.START_HI]!;
      const lo = cells[found + MAPPING.START_LO]!;
      if (!atMost(hi, lo, lastHi, lastLo)) return;
      tree.remove(hi, lo);
    }
  }
}
