import {
  ATTACH_FLAG,
  ATTACH_WORD,
  DETACH_WORD,
  HEAD_BYTES,
  PROBE_WORD,
  REQUEST,
  REQUEST_LAYOUTS,
  REQUEST_STATUS,
  type RequestStatus,
  TAIL_BYTES,
} from '../format/requests.ts';
import type { Chain } from './chain.ts';
import type { DomainTable } from './domains.ts';
import type { FeatureState } from './features.ts';
import type { MappingRequests } from './mapping-requests.ts';
import { PropertyArea } from './property-area.ts';
import type { VirtioIommuHardware } from './settings.ts';

/** Readable bytes of each type, by number. */
const READABLE = new Int32Array(8);
for (const [name, type] of Object.entries(REQUEST))
  READABLE[type] = REQUEST_LAYOUTS[name as keyof typeof REQUEST_LAYOUTS].bytes;
const LONGEST = Math.max(...READABLE);

const { OK, UNSUPP, INVAL, RANGE, NOENT, NOMEM } = REQUEST_STATUS;

/**
 * Carries requests out. Everything is checked before anything changes, so that a refused request leaves no trace.
 * Virtio 1.3 §5.13.6; where the text leaves a choice the README's table says which one was taken.
 */
export class Requests {
  private readonly words = new Int32Array(LONGEST / 4);
  private readonly tail = new Int32Array(1);
  private readonly table: DomainTable;
  private readonly mappings: MappingRequests;
  private readonly features: FeatureState;
  private readonly properties: PropertyArea;
  private readonly probeSize: number;

  constructor(settings: VirtioIommuHardware, table: DomainTable, mappings: MappingRequests, features: FeatureState) {
    this.table = table;
    this.mappings = mappings;
    this.features = features;
    this.probeSize = settings.probeSize;
    this.properties = new PropertyArea(settings.probeSize);
  }

  /** Readable bytes of the last request that count, and how many of them there are. */
  get request(): Int32Array {
    return this.words;
  }

  length = 0;

  /** Returns the used length; -1 when the request's memory does not answer. */
  handle(chain: Chain): number {
    const present = Math.min(chain.readableBytes, LONGEST);
    this.length = present;
    if (chain.readableBytes < HEAD_BYTES || chain.writableBytes < TAIL_BYTES) return 0;
    this.words.fill(0);
    if (!chain.read(this.words, present)) return -1;
    const type = this.words[0]! & 0xff;
    if (!this.isKnown(type)) return 0;
    this.length = Math.min(present, READABLE[type]!);
    const complete = present >= READABLE[type]!;
    if (type === REQUEST.PROBE) return this.probe(chain, complete);
    this.tail[0] = complete ? this.carryOut(type) : INVAL;
    return chain.write(0, this.tail, TAIL_BYTES) ? TAIL_BYTES : -1;
  }

  /** PROBE exists once it is offered, MAP and UNMAP only when negotiated. */
  private isKnown(type: number): boolean {
    if (type === REQUEST.PROBE) return this.features.probeOffered;
    if (type === REQUEST.MAP || type === REQUEST.UNMAP) return this.features.mapUnmap;
    return type === REQUEST.ATTACH || type === REQUEST.DETACH;
  }

  private carryOut(type: number): RequestStatus {
    if (type === REQUEST.MAP) return this.mappings.map(this.words);
    if (type === REQUEST.UNMAP) return this.mappings.unmap(this.words);
    return type === REQUEST.ATTACH ? this.attach() : this.detach();
  }

  private attach(): RequestStatus {
    const { table, words } = this;
    const flags = words[ATTACH_WORD.FLAGS]!;
    if (words[ATTACH_WORD.RESERVED] !== 0 || (flags & ~ATTACH_FLAG.BYPASS) !== 0) return INVAL;
    const bypass = (flags & ATTACH_FLAG.BYPASS) !== 0;
    if (bypass && !this.features.bypassConfig) return INVAL;
    const endpoint = words[ATTACH_WORD.ENDPOINT]!;
    if (!table.exists(endpoint)) return NOENT;
    const id = words[ATTACH_WORD.DOMAIN]!;
    if (!table.isValidDomain(id)) return RANGE;
    const refusal = this.refusal(endpoint, id, bypass);
    const stays = table.attachment(endpoint)?.domain.id === id;
    if (refusal === OK && !stays) table.attach(endpoint, id, bypass);
    return refusal;
  }

  /** Why an endpoint cannot join a domain; OK when it can. */
  private refusal(endpoint: number, id: number, bypass: boolean): RequestStatus {
    const { table } = this;
    const domain = table.domain(id);
    const current = table.attachment(endpoint);
    if (current === undefined && table.crowded) return NOMEM;
    if (domain !== undefined) {
      if (domain.bypass !== bypass) return INVAL;
      if (current?.domain === domain) return OK;
      return this.mappings.collides(domain, table.regionsOf(endpoint)) ? UNSUPP : OK;
    }
    const replaces = current !== undefined && current.domain.members.size === 1;
    return table.full && !replaces ? NOMEM : OK;
  }

  private detach(): RequestStatus {
    const { table, words } = this;
    const endpoint = words[DETACH_WORD.ENDPOINT]!;
    if (!table.exists(endpoint)) return NOENT;
    if (table.attachment(endpoint)?.domain.id !== words[DETACH_WORD.DOMAIN]) return INVAL;
    table.detach(endpoint);
    return OK;
  }

  /** The tail stands behind the property area, not at the end of a larger buffer. */
  private probe(chain: Chain, complete: boolean): number {
    const { properties, table } = this;
    const length = Math.min(this.probeSize + TAIL_BYTES, chain.writableBytes);
    const endpoint = this.words[PROBE_WORD.ENDPOINT]!;
    if (!complete || length < this.probeSize + TAIL_BYTES) properties.refuse(length, INVAL);
    else if (!table.exists(endpoint)) properties.refuse(length, NOENT);
    else properties.answer(table.regionsOf(endpoint));
    return chain.write(0, properties.words, length) ? length : -1;
  }
}
