import type { AccessName, Device, Domain, FaultReasonName, PagingDomain, ReportedFault } from '@iommukit/core';
import type { DmaFault, DmaOptions, DmaResult, Endpoint } from '@iommukit/machine';
import { equal, hex, ok } from '../expect.ts';
import type { Rig } from './rig.ts';

/** What a refusal must look like; what is left out is not looked at. */
export interface Refusal {
  /** The common reason, as the unit answers it. */
  readonly reason?: FaultReasonName | readonly FaultReasonName[];
  readonly pasid?: number;
  /** Sent with this id instead of the device's own. */
  readonly requesterId?: number;
  /** The refusal is reported to software, once: default true. 'blocked': as the vendor says of blocked devices. */
  readonly reported?: boolean | 'blocked' | 'any';
}

/** A device of the rig: what the system knows of it, and its end of the bus. */
export class RigDevice {
  readonly device: Device;
  readonly endpoint: Endpoint;
  readonly #rig: Rig;

  constructor(rig: Rig, device: Device, endpoint: Endpoint) {
    this.#rig = rig;
    this.device = device;
    this.endpoint = endpoint;
  }

  get id(): number {
    return this.device.description.requesterIds[0]!;
  }

  /** A paging domain for this device; the rig frees it. */
  paging(flags = 0): PagingDomain {
    return this.#rig.track(this.device.allocPaging(flags));
  }

  /** A paging domain, attached. */
  attached(flags = 0): PagingDomain {
    const domain = this.paging(flags);
    this.attach(domain);
    return domain;
  }

  attach(domain: Domain, pasid = 0): void {
    this.device.attach(domain, pasid);
  }

  replace(domain: Domain, pasid = 0): void {
    this.device.replace(domain, pasid);
  }

  detach(pasid = 0): void {
    this.device.detach(pasid);
  }

  /** One DMA, and time for what it set off. */
  dma(access: AccessName, iova: bigint, options: DmaOptions = {}, bytes?: Uint8Array): DmaResult {
    const data = bytes ?? new Uint8Array(8);
    const result =
      access === 'write' ? this.endpoint.write(iova, data, options) : this.endpoint[access](iova, data.length, options);
    this.#rig.settle();
    return result;
  }

  /**
   * Where a read at `iova` would go at this very moment, null when it is refused. No time passes, so that it can be asked
   * between any two accesses of a driver.
   */
  glance(iova: bigint): bigint | null {
    return this.#rig.glance(this.endpoint.unit, this.id, iova);
  }

  /** A read at `iova` must bring what stands at `pa`. */
  reads(iova: bigint, pa: bigint, options: DmaOptions = {}, access: 'read' | 'execute' = 'read'): void {
    const mark = this.#rig.ram.mark(pa);
    const what = `${access} by ${this.#name(options)} at ${hex(iova)}`;
    const { ok: done, data, faults } = this.dma(access, iova, options);
    ok(done, `${what} was refused: ${describe(faults)}`);
    equal(
      Buffer.compare(data, mark),
      0,
      `${what} brought ${Buffer.from(data).toString('hex')}, which is not ${hex(pa)}`,
    );
  }

  /** A write at `iova` must land at `pa`. */
  writes(iova: bigint, pa: bigint, options: DmaOptions = {}): void {
    const { ram } = this.#rig;
    const bytes = ram.fresh();
    const what = `write by ${this.#name(options)} at ${hex(iova)}`;
    const { ok: done, faults } = this.dma('write', iova, options, bytes);
    ok(done, `${what} was refused: ${describe(faults)}`);
    equal(Buffer.compare(ram.read(pa, 8), bytes), 0, `${what} did not land at ${hex(pa)}`);
  }

  /** Both, so that everything on the way is remembered that can be. */
  reaches(iova: bigint, pa: bigint, options: DmaOptions = {}): void {
    this.reads(iova, pa, options);
    this.writes(iova, pa, options);
  }

  /** An access that must be refused, move nothing, and be reported as it happened. Returns what the unit answered. */
  refused(access: AccessName, iova: bigint, refusal: Refusal = {}): DmaFault {
    const { reason, reported = true, ...options } = refusal;
    const what = `${access} by ${this.#name(options)} at ${hex(iova)}`;
    const before = this.#rig.faults.length;
    const { ok: done, faults } = this.dma(access, iova, options);
    ok(!done, `${what} went through`);
    const fault = faults[0]!;
    if (reason !== undefined) {
      const allowed: readonly FaultReasonName[] = typeof reason === 'string' ? [reason] : reason;
      ok(allowed.includes(fault.reason), `${what}: refused for ${fault.reason}, not ${allowed.join(' or ')}`);
    }
    this.#checkReports(what, this.#rig.faults.slice(before), fault, access, refusal, reported);
    return fault;
  }

  #checkReports(
    what: string,
    reports: readonly ReportedFault[],
    fault: DmaFault,
    access: AccessName,
    { pasid, requesterId }: Refusal,
    reported: NonNullable<Refusal['reported']>,
  ): void {
    if (reported === 'any') return;
    const expected = reported === 'blocked' ? this.#rig.has('reports-blocked') : reported;
    equal(reports.length, expected ? 1 : 0, `${what}: number of reports`);
    for (const { record, device } of reports) {
      equal(record.device, requesterId ?? this.id, `${what}: device of the report`);
      if (requesterId === undefined) ok(device === this.device, `${what}: the report is another device's`);
      equal(record.code, fault.code, `${what}: code of the report`);
      equal(record.name, fault.name, `${what}: name of the report`);
      if (record.pasid !== null) equal(record.pasid, pasid ?? null, `${what}: PASID of the report`);
      if (record.access !== null) ok(tells(record.access, access), `${what}: the report says ${record.access}`);
      if (record.iova !== null) checkAddress(what, record.iova, fault.iova);
    }
  }

  #name(options: DmaOptions): string {
    const { name } = this.device.description;
    return options.pasid === undefined ? name : `${name} with PASID ${options.pasid}`;
  }
}

/** Some records know reads and writes only. */
const tells = (recorded: AccessName, access: AccessName): boolean =>
  recorded === access || (access === 'execute' && recorded === 'read');

/** A record may carry the page only. */
function checkAddress(what: string, recorded: bigint, iova: bigint): void {
  ok(recorded === iova || recorded === (iova & ~0xfffn), `${what}: the report says ${hex(recorded)}`);
}

const describe = (faults: readonly DmaFault[]): string =>
  faults.map(({ reason, name, iova }) => `${reason} (${name}) at ${hex(iova)}`).join(', ');
