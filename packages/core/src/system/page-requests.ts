import type { Domain } from '../domain/domain.ts';
import type { DeviceHandle, IommuDriver, PageRequestSink } from '../ops/driver.ts';
import { PAGE_REQUEST_FLAG, PAGE_RESPONSE, type PageRequest } from '../ops/page-request.ts';
import type { Device } from './device.ts';

/** All requests of a group, to be answered together, once. */
export interface PageRequestGroup {
  readonly device: Device;
  /** PASID of the attachment they came through; 0 = the device's own. */
  readonly pasid: number;
  readonly requests: readonly PageRequest[];
  /** Carries the answer to the unit. Later calls do nothing. */
  respond(code: number): void;
}

/** Who a domain's page requests go to. Throwing answers FAILURE. */
export type PageRequestHandler = (group: PageRequestGroup) => void;

/** A device that floods us with requests without ever ending a group loses the oldest. */
const MAX_PARKED = 4096;

/**
 * Puts a unit's page requests together: records wait per device until the one that ends their group comes, and the whole
 * group goes to the handler of the domain they were made through. Nobody there: INVALID at once.
 */
export class PageRequestRouter implements PageRequestSink {
  readonly #driver: IommuDriver;
  readonly #deviceOf: (handle: DeviceHandle) => Device | null;
  readonly #parked = new Map<DeviceHandle, PageRequest[]>();

  constructor(driver: IommuDriver, deviceOf: (handle: DeviceHandle) => Device | null) {
    this.#driver = driver;
    this.#deviceOf = deviceOf;
  }

  report(handle: DeviceHandle, request: PageRequest): boolean {
    const device = this.#deviceOf(handle);
    const via = device && this.#route(device, request);
    if (!device || !via) {
      if ((request.flags & PAGE_REQUEST_FLAG.LAST_PAGE) !== 0) {
        this.#take(handle, request.groupId);
        this.#respond(handle, request, PAGE_RESPONSE.INVALID);
      }
      return false;
    }
    if ((request.flags & PAGE_REQUEST_FLAG.LAST_PAGE) === 0) {
      this.#park(handle, request);
      return true;
    }
    const requests = [...this.#take(handle, request.groupId), request];
    this.#deliver(via.handler, device, via.pasid, requests);
    return true;
  }

  discardPartial(handle: DeviceHandle): void {
    this.#parked.delete(handle);
  }

  /** The domain's handler, and the PASID of the attachment. A guest that keeps its own PASID table hears of all of them. */
  #route({ group }: Device, { flags, pasid }: PageRequest): { handler: PageRequestHandler; pasid: number } | null {
    const own = (flags & PAGE_REQUEST_FLAG.PASID_VALID) !== 0 ? pasid : 0;
    const domain: Domain = group.domainOf(own);
    if (domain.onPageRequest) return { handler: domain.onPageRequest, pasid: own };
    const guestTable = own !== 0 && domain === group.blocked && this.#driver.userPasidTable === true;
    const handler = guestTable && group.domain.kind === 'nested' ? group.domain.onPageRequest : null;
    return handler ? { handler, pasid: 0 } : null;
  }

  #deliver(handler: PageRequestHandler, device: Device, pasid: number, requests: readonly PageRequest[]): void {
    let open = true;
    const respond = (code: number): void => {
      if (open) this.#respond(device.handle, requests.at(-1)!, code);
      open = false;
    };
    try {
      handler({ device, pasid, requests, respond });
    } catch {
      respond(PAGE_RESPONSE.FAILURE);
    }
  }

  #respond(handle: DeviceHandle, { pasid, groupId }: PageRequest, code: number): void {
    this.#driver.respond?.(handle, { pasid, groupId, code });
  }

  #park(handle: DeviceHandle, request: PageRequest): void {
    const parked = this.#parked.get(handle) ?? [];
    if (parked.length >= MAX_PARKED) parked.shift();
    parked.push(request);
    this.#parked.set(handle, parked);
  }

  /** Waiting requests of a group; PASIDs are not compared. */
  #take(handle: DeviceHandle, groupId: number): PageRequest[] {
    const parked = this.#parked.get(handle);
    if (!parked) return [];
    const rest = parked.filter((request) => request.groupId !== groupId);
    if (rest.length === 0) this.#parked.delete(handle);
    else this.#parked.set(handle, rest);
    return parked.filter((request) => request.groupId === groupId);
  }
}
