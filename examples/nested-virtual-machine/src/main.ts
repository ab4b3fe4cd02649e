// A virtual machine with an SMMUv3 of its own. The host keeps stage 2 (guest-physical → physical); the guest writes
// stage 1 (its iova → guest-physical) and sends its own commands, which the host rewrites and carries out.
import { armSmmuV3 } from '@iommukit/arm-smmuv3';
import { bytesToHex, hex } from '@iommukit/bits';
import { ALLOC, type GuestMemory, IommuSystem, type NativeInvalidation, PROT } from '@iommukit/core';
import { Machine } from '@iommukit/machine';

const GUEST_RAM = { gpa: 0x4000_0000n, pa: 0x8_0000_0000n, size: 0x40_0000n };
const VIRTUAL_STREAM = 0x7n;

const machine = new Machine();
const unit = machine.addUnit(armSmmuV3);
const nic = unit.endpoint({ name: 'nic', requesterIds: [0x18], coherent: true });
const host = new IommuSystem();
host.addUnit(unit.driver);
const device = host.addDevice(unit.driver, nic.description);
host.onFault(({ record }) => console.log(`  fault: ${record.name} at ${hex(record.iova ?? 0n)}`));

// 1. The nesting parent: stage 2 maps the guest's RAM.
const parent = device.allocPaging(ALLOC.NEST_PARENT);
parent.map(GUEST_RAM.gpa, GUEST_RAM.pa, GUEST_RAM.size, PROT.READ | PROT.WRITE);

// 2. The vIOMMU on it, and the StreamID under which the guest knows the device.
const kit = armSmmuV3.guest!;
const viommu = parent.allocViommu(device, kit.viommuType!);
viommu.setVirtualId(device, VIRTUAL_STREAM);

// 3. The guest writes a context descriptor and a stage-1 table into its own memory. What its VMM passes on is the vSTE:
//    the first two words of the guest's stream table entry.
const guest = kit.createStage1(guestMemory(), VIRTUAL_STREAM);
console.log(`vSTE ${bytesToHex(guest.data.bytes)}`);
device.attach(viommu.allocNested(device, guest.data));

// 4. The guest maps one page to another, and the device uses it.
const [first, second] = [GUEST_RAM.gpa + 0x10_0000n, GUEST_RAM.gpa + 0x20_0000n];
machine.memory.writeBytes(toPhysical(first), Uint8Array.of(1));
machine.memory.writeBytes(toPhysical(second), Uint8Array.of(2));
guest.map(0x1000n, first, true);
console.log(`the device reads ${dma()}`);

// 5. The guest changes its table. Until it sends its own command, the SMMU may answer from its cache.
guest.unmap(0x1000n);
guest.map(0x1000n, second, true);
console.log(`before the guest's command: ${dma()}`);
send(guest.invalidatePage(0x1000n));
console.log(`after the guest's command: ${dma()}`);

// 6. Whatever the guest maps, no DMA leaves its stage 2.
guest.map(0x2000n, 0x1000n, true);
console.log(`a page outside the guest's memory: ${nic.read(0x2000n, 1).ok ? 'let through' : 'refused'}`);

// 7. Commands that are the host's business are refused.
for (const { title, value } of kit.badInvalidations(VIRTUAL_STREAM).slice(0, 2)) send(value, title);

function dma(): string {
  const { ok, data } = nic.read(0x1000n, 1);
  return ok ? `${data[0]}` : 'nothing: refused';
}

function send(commands: NativeInvalidation, title = 'native'): void {
  const { done, error } = viommu.invalidate(commands);
  console.log(`  ${title} command ${bytesToHex(commands.bytes)}: ${error ? error.message : `${done} carried out`}`);
}

function toPhysical(gpa: bigint): bigint {
  return gpa - GUEST_RAM.gpa + GUEST_RAM.pa;
}

/** The guest's view of its RAM. */
function guestMemory(): GuestMemory {
  let next = GUEST_RAM.gpa;
  const word = new Uint8Array(8);
  const view = new DataView(word.buffer);
  return {
    alloc(bytes) {
      const size = BigInt(Math.max(4096, bytes));
      const at = (next + size - 1n) & -size;
      next = at + size;
      return at;
    },
    write64(gpa, value) {
      view.setBigUint64(0, value, true);
      machine.memory.writeBytes(toPhysical(gpa), word);
    },
    read64(gpa) {
      machine.memory.readBytes(toPhysical(gpa), word);
      return view.getBigUint64(0, true);
    },
  };
}
