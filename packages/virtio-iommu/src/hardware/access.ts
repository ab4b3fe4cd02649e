import {
  ACCESS,
  type DmaAnswer,
  type DmaRequest,
  FAULT_REASON,
  type FaultReason,
  OUTCOME,
  PERMISSION,
  REQUEST_KIND,
} from '@iommukit/core';
import { FAULT_CODE, type FaultCode } from '../format/events.ts';
import { MAP_FLAG } from '../format/requests.ts';
import { atMost, carry, FLIP, highestBit, lowestBit } from './address.ts';
import type { Attachment, DomainTable } from './domains.ts';
import type { EventProducer } from './event-producer.ts';
import { MAPPING } from './mapping-tree.ts';
import { CACHED, TranslationCache } from './translation-cache.ts';

const DATA = PERMISSION.READ | PERMISSION.WRITE;
/** Nothing smaller than the whole address space limits an untranslated access. */
const WHOLE_SPACE_LG2 = 64;

/** What happens to one access of an endpoint. Virtio 1.3 §5.13.6 (attachment), §5.13.6.5 (MAP), §5.13.6.8.1 (RESV_MEM). */
export class AccessDecision {
  /** Whether endpoints that are in no domain pass untranslated. */
  unattachedBypass = false;
  private readonly table: DomainTable;
  private readonly events: EventProducer;
  private readonly cache: TranslationCache;

  constructor(table: DomainTable, events: EventProducer) {
    this.table = table;
    this.cache = table.cache;
    this.events = events;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    if (request.pasid !== -1 || request.kind !== REQUEST_KIND.UNTRANSLATED) {
      const reason = request.pasid !== -1 ? FAULT_REASON.BAD_PASID : FAULT_REASON.UNSUPPORTED;
      this.refuse(request, answer, reason, FAULT_CODE.UNKNOWN);
      return;
    }
    const { iovaHi, iovaLo } = request;
    const at = this.cache.find(request.device | 0, iovaHi | 0, iovaLo);
    if (at === -1) this.decide(request, answer);
    else {
      const { words } = this.cache;
      answer.pageSizeLg2 = words[at + CACHED.SIZE_LG2]!;
      this.grant(
        request,
        answer,
        words[at + CACHED.FLAGS]!,
        words[at + CACHED.DELTA_HI]!,
        words[at + CACHED.DELTA_LO]!,
      );
    }
  }

  private decide(request: DmaRequest, answer: DmaAnswer): void {
    const attachment = this.table.attachment(request.device | 0);
    if (attachment === undefined) this.unattached(request, answer);
    else if (attachment.domain.bypass) pass(request, answer, WHOLE_SPACE_LG2);
    else this.lookUp(attachment, request, answer);
  }

  private unattached(request: DmaRequest, answer: DmaAnswer): void {
    if (this.unattachedBypass) pass(request, answer, WHOLE_SPACE_LG2);
    else {
      const known = this.table.exists(request.device | 0);
      this.refuse(request, answer, known ? FAULT_REASON.BLOCKED : FAULT_REASON.BAD_DEVICE, FAULT_CODE.DOMAIN);
    }
  }

  private lookUp(attachment: Attachment, request: DmaRequest, answer: DmaAnswer): void {
    const hi = request.iovaHi ^ FLIP;
    const lo = request.iovaLo ^ FLIP;
    const mapping = attachment.domain.tree.floor(hi, lo);
    const { cells } = this.table.store.mappings;
    if (mapping === -1 || !atMost(hi, lo, cells[mapping + MAPPING.LAST_HI]!, cells[mapping + MAPPING.LAST_LO]!)) {
      this.unmapped(attachment, request, answer);
      return;
    }
    const { iovaHi, iovaLo } = request;
    const flags = cells[mapping + MAPPING.FLAGS]!;
    const deltaHi = cells[mapping + MAPPING.DELTA_HI]!;
    const deltaLo = cells[mapping + MAPPING.DELTA_LO]!;
    const size = blockLg2(cells, mapping, iovaHi, iovaLo);
    if (TranslationCache.covers(size))
      this.cache.fill(request.device | 0, iovaHi | 0, iovaLo, deltaHi, deltaLo, flags, size);
    answer.pageSizeLg2 = size;
    this.grant(request, answer, flags, deltaHi, deltaLo);
  }

  /** The mapping is known; the access may still be one it does not allow. */
  private grant(request: DmaRequest, answer: DmaAnswer, flags: number, deltaHi: number, deltaLo: number): void {
    const needed = request.access === ACCESS.WRITE ? MAP_FLAG.WRITE : MAP_FLAG.READ;
    if ((flags & needed) === 0) {
      this.refuse(request, answer, FAULT_REASON.PERMISSION, FAULT_CODE.MAPPING);
      return;
    }
    const { iovaLo } = request;
    const paLo = (iovaLo + deltaLo) | 0;
    answer.outcome = OUTCOME.TRANSLATED;
    answer.paLo = paLo;
    answer.paHi = (request.iovaHi + deltaHi + carry(paLo, iovaLo)) | 0;
    answer.permissions = permissionsOf(flags, request);
  }

  /**
   * No mapping lies over a region, for MAP and ATTACH refuse that, so regions need a look only here: the MSI doorbell
   * is reached untranslated, anything else faults.
   */
  private unmapped(attachment: Attachment, request: DmaRequest, answer: DmaAnswer): void {
    const { regions } = attachment;
    const hi = request.iovaHi ^ FLIP;
    const lo = request.iovaLo ^ FLIP;
    const region = regions.touching(hi, lo, hi, lo);
    if (region !== -1 && regions.isMsi(region)) {
      const first = boundary(hi, lo, regions.bound(region, 0), regions.bound(region, 1), -1);
      pass(request, answer, Math.min(first, boundary(hi, lo, regions.bound(region, 2), regions.bound(region, 3), 1)));
    } else this.refuse(request, answer, FAULT_REASON.NOT_PRESENT, FAULT_CODE.MAPPING);
  }

  private refuse(request: DmaRequest, answer: DmaAnswer, reason: FaultReason, code: FaultCode): void {
    answer.outcome = OUTCOME.FAULT;
    answer.reason = reason;
    answer.code = code;
    answer.recordWords = this.events.report(code, request, answer.record);
  }
}

function pass(request: DmaRequest, answer: DmaAnswer, pageSizeLg2: number): void {
  answer.outcome = OUTCOME.BYPASS;
  answer.paHi = request.iovaHi | 0;
  answer.paLo = request.iovaLo | 0;
  answer.permissions = request.access === ACCESS.EXECUTE ? DATA | PERMISSION.EXECUTE : DATA;
  answer.pageSizeLg2 = pageSizeLg2;
}

/** READ and WRITE of a MAP have the bits of the answer; an instruction fetch is a read like any other. */
const permissionsOf = (flags: number, request: DmaRequest): number =>
  (flags & DATA) | (request.access === ACCESS.EXECUTE ? PERMISSION.EXECUTE : 0);

/**
 * log2 of the largest naturally aligned block around an address that lies wholly inside its mapping and is as aligned
 * on the physical side: what stands for a page where there are none.
 */
function blockLg2(cells: Int32Array, mapping: number, iovaHi: number, iovaLo: number): number {
  const hi = iovaHi ^ FLIP;
  const lo = iovaLo ^ FLIP;
  const down = boundary(hi, lo, cells[mapping + MAPPING.START_HI]!, cells[mapping + MAPPING.START_LO]!, -1);
  const up = boundary(hi, lo, cells[mapping + MAPPING.LAST_HI]!, cells[mapping + MAPPING.LAST_LO]!, 1);
  const size = down < up ? down : up;
  const shift = lowestBit(cells[mapping + MAPPING.DELTA_HI]!, cells[mapping + MAPPING.DELTA_LO]!);
  return size < shift ? size : shift;
}

/** log2 of the largest block around an address that does not hold the neighbour of a bound (`step` -1 or 1 beyond). */
function boundary(hi: number, lo: number, boundHi: number, boundLo: number, step: number): number {
  const outLo = (boundLo + step) | 0;
  const wraps = step < 0 ? boundLo === FLIP : boundLo === ~FLIP;
  const outHi = wraps ? (boundHi + step) | 0 : boundHi;
  const open = step < 0 ? boundHi === FLIP && boundLo === FLIP : boundHi === ~FLIP && boundLo === ~FLIP;
  return open ? WHOLE_SPACE_LG2 : highestBit(hi ^ outHi, lo ^ outLo);
}
