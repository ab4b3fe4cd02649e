// One SMMUv3, one device: map a page, let the device write it, take the page away, see the fault.
import { armSmmuV3 } from '@iommukit/arm-smmuv3';
import { hex } from '@iommukit/bits';
import { IommuSystem, PROT } from '@iommukit/core';
import { Machine } from '@iommukit/machine';

// The board: memory, one IOMMU, and a network card whose DMA carries StreamID 0x18.
const machine = new Machine();
const unit = machine.addUnit(armSmmuV3);
const nic = unit.endpoint({ name: 'nic', requesterIds: [0x18] });

// The host: it probes the IOMMU through its registers and admits the device, which starts blocked.
const host = new IommuSystem();
host.addUnit(unit.driver);
const device = host.addDevice(unit.driver, nic.description);
host.onFault(({ record }) => {
  console.log(`fault: ${record.name} (${record.reason}) at ${hex(record.iova ?? 0n)}, ${record.access}`);
});

// An address space: the page at physical 0x8000_0000 shows up at iova 0x1_0000.
const domain = device.allocPaging();
device.attach(domain);
domain.map(0x1_0000n, 0x8000_0000n, 0x1000n, PROT.READ | PROT.WRITE);

const written = nic.write(0x1_0040n, new TextEncoder().encode('hello'));
const memory = new Uint8Array(5);
machine.memory.readBytes(0x8000_0040n, memory);
console.log(`write: ${written.ok ? 'done' : 'refused'}, memory holds '${new TextDecoder().decode(memory)}'`);

// Unmapping clears the entry and invalidates: what the IOMMU had cached is gone, too.
domain.unmap(0x1_0000n, 0x1000n);
const read = nic.read(0x1_0040n, 5);
console.log(`read after unmap: ${read.ok ? 'done' : 'refused'}`);
