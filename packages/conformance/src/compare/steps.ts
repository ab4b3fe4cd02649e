import { ALLOC, type Domain, IommuError, type PagingDomain, PROT } from '@iommukit/core';
import { largePage } from '../cases/scene.ts';
import { hex, ok } from '../expect.ts';
import type { StepResult } from './report.ts';
import type { Step, StepOf } from './schema.ts';
import type { World } from './world.ts';

/** What a step came to. */
export interface Done {
  readonly result: StepResult;
  readonly detail: string | null;
}

type Doing = { readonly [D in Step['do']]: (world: World, step: StepOf<D>) => string | null | Done };

const FLAGS = {
  'nest-parent': ALLOC.NEST_PARENT,
  'dirty-tracking': ALLOC.DIRTY_TRACKING,
  pasid: ALLOC.PASID,
} as const;

/** Every kind of step: does it, and says in words what came out when there is something to say. */
export const DO: Doing = {
  domain(world, { name, device, flags }) {
    const bits = flags.reduce((sum, flag) => sum | FLAGS[flag], 0);
    const domain = world.device(device).paging(bits);
    world.domains.set(name, domain);
    return `pages ${sizesOf(domain)}, up to ${hex(domain.ops.geometry.last)}`;
  },
  attach(world, { device, domain, pasid }) {
    const at = world.device(device);
    at.attach(world.domain(domain, at), pasid);
    return null;
  },
  replace(world, { device, domain, pasid }) {
    const at = world.device(device);
    at.replace(world.domain(domain, at), pasid);
    return null;
  },
  detach(world, { device, pasid }) {
    world.device(device).detach(pasid);
    return null;
  },
  map(world, step) {
    const domain = world.paging(step.domain);
    const size = sizeOf(step, domain);
    const align = step.largePages === undefined ? domain.granule : largeOf(domain);
    const prot = (step.prot.includes('r') ? PROT.READ : 0) | (step.prot.includes('w') ? PROT.WRITE : 0) | PROT.CACHE;
    const pa = world.rig.ram.take(size, align);
    domain.map(addressOf(step.iova, domain), pa, size, prot);
    return `${hex(size)} bytes to ${hex(pa)}`;
  },
  unmap(world, step) {
    const domain = world.paging(step.domain);
    const removed = domain.unmap(addressOf(step.iova, domain), sizeOf(step, domain));
    return `${hex(removed)} bytes removed`;
  },
  flush(world, { domain }) {
    world.paging(domain).flush();
    return null;
  },
  dma: doDma,
  guest(world, { name, device }) {
    const owner = world.device(device);
    if (!world.rig.has('nest-parent')) owner.paging(ALLOC.NEST_PARENT);
    const guest = world.rig.nest(owner);
    world.guests.set(name, guest);
    world.domains.set(name, guest.domain as Domain);
    return guest.viommu ? 'through a vIOMMU' : 'directly on the parent';
  },
  'guest-map'(world, { guest, iova, writable }) {
    return `to host memory at ${hex(world.guest(guest).page(iova, writable))}`;
  },
  'guest-unmap'(world, { guest, iova }) {
    world.guest(guest).stage1.unmap(iova);
    return null;
  },
  invalidate(world, { guest, iova }) {
    const nest = world.guest(guest);
    const request = iova === undefined ? nest.stage1.invalidateAll() : nest.stage1.invalidatePage(iova);
    const { done, error } = nest.invalidate(request);
    if (error) throw error;
    return `${done} of ${request.entryCount} native entries`;
  },
  'track-dirty'(world, { domain, on }) {
    world.paging(domain).setDirtyTracking(on);
    return null;
  },
  'read-dirty'(world, step) {
    const domain = world.paging(step.domain);
    const found = domain.readDirty(step.iova, sizeOf(step, domain));
    return found.length === 0 ? 'nothing' : found.map(({ iova, size }) => `${hex(iova)} +${hex(size)}`).join(', ');
  },
  reserved(world, { device }) {
    const regions = world.device(device).device.reservedRegions();
    return regions.map(({ start, last, type }) => `${hex(start)}–${hex(last)} ${type}`).join(', ') || 'none';
  },
  'hw-info'(world, { device }) {
    const info = world.device(device).device.hwInfo();
    return info ? `type ${hex(info.type)}: ${Buffer.from(info.bytes).toString('hex')}` : 'none';
  },
};

/** The step as a person would say it. */
export function sayStep(step: Step): string {
  const { do: what, expect: _expected, ...rest } = step;
  const parts = Object.entries(rest).filter(([, value]) => value !== undefined && !isEmpty(value));
  return [
    what,
    ...parts.map(([key, value]) => `${key}=${typeof value === 'bigint' ? hex(value) : String(value)}`),
  ].join(' ');
}

function doDma(world: World, step: StepOf<'dma'>): Done {
  const { access, bytes, pasid, requesterId, reason } = step;
  const device = world.device(step.device);
  const domain = step.domain === undefined ? device.device.domain : world.domain(step.domain, device);
  const iova = addressOf(step.iova, domain as PagingDomain);
  const options = { ...(pasid === undefined ? {} : { pasid }), ...(requesterId === undefined ? {} : { requesterId }) };
  const result = device.dma(access, iova, options, new Uint8Array(bytes));
  const [fault] = result.faults;
  if (fault === undefined) return { result: 'ok', detail: `${bytes} bytes` };
  if (reason !== undefined) ok(fault.reason === reason, `refused for ${fault.reason}, not ${reason}`);
  const recorded = fault.record === null ? 'no record' : 'recorded';
  return { result: 'fault', detail: `${fault.reason}: ${fault.name} (${fault.code}), ${recorded}` };
}

const isEmpty = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

function addressOf(place: bigint | 'top' | 'beyond', domain: PagingDomain): bigint {
  if (typeof place === 'bigint') return place;
  if (domain.kind !== 'paging')
    throw new IommuError('EINVAL', `'${place}' means the end of a domain, and none is attached`);
  const { last } = domain.ops.geometry;
  if (place === 'top') return last + 1n - domain.granule;
  if (last === (1n << 64n) - 1n) throw new IommuError('EOPNOTSUPP', 'no address lies past the aperture');
  return last + 1n;
}

function sizeOf(
  step: { pages?: number | undefined; largePages?: number | undefined; bytes?: bigint | undefined },
  domain: PagingDomain,
): bigint {
  if (step.bytes !== undefined) return step.bytes;
  if (step.largePages !== undefined) return BigInt(step.largePages) * largeOf(domain);
  return BigInt(step.pages ?? 1) * domain.granule;
}

function largeOf(domain: PagingDomain): bigint {
  const size = largePage(domain);
  if (size === null) throw new IommuError('EOPNOTSUPP', 'the domain has one page size');
  return size;
}

function sizesOf({ ops }: PagingDomain): string {
  const sizes: string[] = [];
  for (let size = 1n; size <= ops.pageSizes; size <<= 1n) if ((ops.pageSizes & size) !== 0n) sizes.push(readable(size));
  return sizes.length > 6 ? `${sizes[0]} … ${sizes.at(-1)}` : sizes.join('/');
}

function readable(size: bigint): string {
  const units = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
  let at = 0;
  let value = size;
  for (; value >= 1024n && at < units.length - 1; at++) value >>= 10n;
  return `${value}${units[at]}`;
}
