import { ALLOC, type GuestMemory, type NativeData, type NestedDomain, type PagingDomain } from '@iommukit/core';
import type { SparseMemory } from '@iommukit/machine';
import type { PageSet } from './pages.ts';
import { mapRun, PA_BASE, PAGE, type Rig } from './rig.ts';

const GUEST_PAGES = 4096;
const GUEST_TABLES = 0x10_0000n;
const GUEST_DATA = 0xf0_0000n;
const VIRTUAL_ID = 0x10n;

/** A guest's stage 1 over a parent of smallest pages, attached; false where the vendor does not nest. */
export function attachNested(rig: Rig, pages: PageSet): boolean {
  const { guest } = rig.plugin;
  if (guest === undefined || !rig.unit.driver.capabilities.has('nest-parent')) return false;
  const parent = rig.device.allocPaging(ALLOC.NEST_PARENT);
  mapRun(parent, 0n, GUEST_PAGES);
  const stage1 = guest.createStage1(guestMemory(rig.machine.memory), VIRTUAL_ID);
  pages.iovas.forEach((iova, at) => {
    stage1.map(iova, GUEST_DATA + BigInt(at) * PAGE, true);
  });
  rig.device.attach(allocNested(rig, parent, stage1.data, guest.viommuType));
  return true;
}

function allocNested({ device }: Rig, parent: PagingDomain, data: NativeData, type: number | null): NestedDomain {
  if (type === null) return parent.allocNested(device, data);
  const viommu = parent.allocViommu(device, type);
  viommu.setVirtualId(device, VIRTUAL_ID);
  return viommu.allocNested(device, data);
}

/** Guest-physical 0 lies at {@link PA_BASE}, as {@link mapRun} puts it. */
function guestMemory(memory: SparseMemory): GuestMemory {
  let next = GUEST_TABLES;
  const word = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);
  return {
    alloc(bytes) {
      const align = BigInt(2 ** Math.ceil(Math.log2(Math.max(bytes, 4096))));
      const at = (next + align - 1n) & -align;
      next = at + BigInt(bytes);
      if (next > GUEST_DATA) throw new RangeError('the guest of the bench is out of memory');
      return at;
    },
    write64(gpa, value) {
      memory.writeBytes(PA_BASE + gpa, word(value));
    },
    read64(gpa) {
      const bytes = new Uint8Array(8);
      memory.readBytes(PA_BASE + gpa, bytes);
      return new BigUint64Array(bytes.buffer)[0]!;
    },
  };
}
