import {
  ALLOC,
  type Device,
  type GuestKit,
  type GuestMemory,
  type NestedDomain,
  type PagingDomain,
} from '@iommukit/core';
import type { Endpoint, SparseMemory } from '@iommukit/machine';
import { scrambled } from './pages.ts';
import { PA_BASE, PAGE, type Rig, RW } from './rig.ts';

/** What one entry of a stage-2 root covers: pages further apart share no table but the root. */
const REGION = 1n << 39n;
const VIRTUAL_ID = 0x10n;

/** Virtual machines with a device each, whose stage 1 maps one page. */
export interface Guests {
  readonly endpoints: readonly Endpoint[];
  /** Has all translations of all machines forgotten, by command; what the unit knows of its devices it keeps. */
  forget(): void;
}

/** One guest for each address; null where the vendor does not nest. */
export function makeGuests(rig: Rig, iovas: readonly bigint[]): Guests | null {
  const { guest } = rig.plugin;
  if (guest === undefined || !rig.unit.driver.capabilities.has('nest-parent')) return null;
  const parents: PagingDomain[] = [];
  const host = { next: PA_BASE };
  const endpoints = iovas.map((iova) => {
    const { endpoint, device } = rig.addDevice();
    const parent = device.allocPaging(ALLOC.NEST_PARENT);
    parents.push(parent);
    attachGuest(guest, device, parent, iova, guestMemory(rig.machine.memory, parent, host));
    return endpoint;
  });
  return { endpoints, forget: () => parents.forEach((parent) => void parent.flush()) };
}

function attachGuest(guest: GuestKit, device: Device, parent: PagingDomain, iova: bigint, memory: GuestMemory): void {
  const stage1 = guest.createStage1(memory, VIRTUAL_ID);
  stage1.map(iova, memory.alloc(Number(PAGE)), true);
  device.attach(nestedDomain(guest, device, parent, stage1.data));
}

function nestedDomain(
  { viommuType }: GuestKit,
  device: Device,
  parent: PagingDomain,
  data: Parameters<PagingDomain['allocNested']>[1],
): NestedDomain {
  if (viommuType === null) return parent.allocNested(device, data);
  const viommu = parent.allocViommu(device, viommuType);
  viommu.setVirtualId(device, VIRTUAL_ID);
  return viommu.allocNested(device, data);
}

/**
 * Guest memory in which every allocation lies at a place of its own in a region of its own, so that each address of a
 * nested walk costs a whole walk of stage 2, whatever upper levels a unit remembers. Each is mapped, in smallest pages,
 * to the host's next free memory.
 */
function guestMemory(memory: SparseMemory, parent: PagingDomain, host: { next: bigint }): GuestMemory {
  const places = new Map<bigint, bigint>();
  const pa = (gpa: bigint): bigint => places.get(gpa & -PAGE)! | (gpa & (PAGE - 1n));
  let count = 0;
  return {
    alloc(bytes) {
      const size = (BigInt(bytes) + PAGE - 1n) & -PAGE;
      const gpa = BigInt(count) * REGION + (scrambled(count++) % (REGION / size)) * size;
      for (let at = 0n; at < size; at += PAGE) places.set(gpa + at, host.next + at);
      parent.map(gpa, host.next, size, RW);
      host.next += size;
      return gpa;
    },
    write64(gpa, value) {
      memory.writeBytes(pa(gpa), new Uint8Array(BigUint64Array.of(value).buffer));
    },
    read64(gpa) {
      const bytes = new Uint8Array(8);
      memory.readBytes(pa(gpa), bytes);
      return new BigUint64Array(bytes.buffer)[0]!;
    },
  };
}
