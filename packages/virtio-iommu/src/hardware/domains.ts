import { MappingStore, MappingTree } from './mapping-tree.ts';
import { RegionTable, type ReservedRegions } from './regions.ts';
import type { VirtioIommuHardware } from './settings.ts';
import { TranslationCache } from './translation-cache.ts';

/** Attached endpoints that share one address space. Ceases to exist, mappings included, when the last one leaves. */
export interface Domain {
  readonly id: number;
  readonly bypass: boolean;
  readonly tree: MappingTree;
  readonly members: Set<Attachment>;
  /** The members' region sets, each with the number of members that have it; and the sets alone, for MAP to go through. */
  readonly regionUsers: Map<ReservedRegions, number>;
  regions: readonly ReservedRegions[];
}

/** An endpoint that is in a domain. */
export interface Attachment {
  readonly endpoint: number;
  readonly regions: ReservedRegions;
  domain: Domain;
}

/** Endpoints attached at a time, whatever number of ids exist. */
const MAX_ATTACHED = 1 << 16;

/** Who is attached to what. All ids are signed 32-bit, so that they stay small integers. */
export class DomainTable {
  readonly store: MappingStore;
  readonly cache = new TranslationCache();
  private readonly settings: VirtioIommuHardware;
  private readonly regions: RegionTable;
  private readonly domains = new Map<number, Domain>();
  private readonly attachments = new Map<number, Attachment>();

  constructor(settings: VirtioIommuHardware) {
    this.settings = settings;
    this.regions = new RegionTable(settings.reserved);
    this.store = new MappingStore(settings.maxMappings);
  }

  /** Whether the endpoint is one this device manages. */
  exists(endpoint: number): boolean {
    const id = endpoint >>> 0;
    for (const range of this.settings.endpoints) if (range.first <= id && id <= range.last) return true;
    return false;
  }

  /** Without DOMAIN_RANGE every id is valid. */
  isValidDomain(id: number): boolean {
    const { features, domainRange } = this.settings;
    if (!features.includes('DOMAIN_RANGE')) return true;
    const { start, last } = domainRange;
    return id >>> 0 >= start && id >>> 0 <= last;
  }

  regionsOf(endpoint: number): ReservedRegions {
    return this.regions.of(endpoint);
  }

  domain(id: number): Domain | undefined {
    return this.domains.get(id);
  }

  attachment(endpoint: number): Attachment | undefined {
    return this.attachments.get(endpoint);
  }

  get full(): boolean {
    return this.domains.size >= this.settings.maxDomains;
  }

  get crowded(): boolean {
    return this.attachments.size >= MAX_ATTACHED;
  }

  /** Domains that exist, by ascending unsigned id. */
  list(): Domain[] {
    return [...this.domains.values()].sort((a, b) => (a.id >>> 0) - (b.id >>> 0));
  }

  /** Moves an endpoint into a domain, which comes into being if it must. Everything was checked. */
  attach(endpoint: number, id: number, bypass: boolean): void {
    this.detach(endpoint);
    let domain = this.domains.get(id);
    if (domain === undefined) {
      domain = {
        id,
        bypass,
        tree: new MappingTree(this.store),
        members: new Set(),
        regionUsers: new Map(),
        regions: [],
      };
      this.domains.set(id, domain);
    }
    const attachment = { endpoint, regions: this.regions.of(endpoint), domain };
    domain.members.add(attachment);
    countRegions(domain, attachment.regions, 1);
    this.attachments.set(endpoint, attachment);
  }

  detach(endpoint: number): void {
    const attachment = this.attachments.get(endpoint);
    if (attachment === undefined) return;
    const { domain } = attachment;
    this.cache.drop();
    this.attachments.delete(endpoint);
    domain.members.delete(attachment);
    countRegions(domain, attachment.regions, -1);
    if (domain.members.size > 0) return;
    domain.tree.clear();
    this.domains.delete(domain.id);
  }

  clear(): void {
    this.cache.drop();
    this.domains.clear();
    this.attachments.clear();
    this.store.mappings.clear();
    this.store.nodes.clear();
  }
}

function countRegions(domain: Domain, regions: ReservedRegions, step: 1 | -1): void {
  const users = (domain.regionUsers.get(regions) ?? 0) + step;
  if (users > 0) domain.regionUsers.set(regions, users);
  else domain.regionUsers.delete(regions);
  domain.regions = [...domain.regionUsers.keys()];
}
