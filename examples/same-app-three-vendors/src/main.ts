// The same application on three IOMMUs. Only the list of vendors names them.
import { armSmmuV3Module } from '@iommukit/arm-smmuv3';
import { IommuSystem, loadVendors, PROT, type VendorPlugin } from '@iommukit/core';
import { intelVtdModule } from '@iommukit/intel-vtd';
import { Machine } from '@iommukit/machine';
import { virtioIommuModule } from '@iommukit/virtio-iommu';

const RING = { iova: 0x10_0000n, pa: 0x8000_0000n, size: 0x4000n };

for (const vendor of loadVendors(armSmmuV3Module, intelVtdModule, virtioIommuModule)) {
  console.log(`${vendor.id}: ${application(vendor)}`);
}

/** A disk reads a descriptor ring, writes its completion, and loses the ring again. */
function application(vendor: VendorPlugin): string {
  const machine = new Machine();
  const unit = machine.addUnit(vendor);
  const disk = unit.endpoint({ name: 'disk', requesterIds: [0x20] });

  const host = new IommuSystem();
  host.addUnit(unit.driver);
  const device = host.addDevice(unit.driver, disk.description);
  const faults: string[] = [];
  host.onFault(({ record }) => faults.push(`${record.name} (${record.reason})`));

  const domain = device.allocPaging();
  device.attach(domain);
  domain.map(RING.iova, RING.pa, RING.size, PROT.READ | PROT.WRITE);
  machine.memory.writeBytes(RING.pa, Uint8Array.of(0xca, 0xfe));

  const descriptor = disk.read(RING.iova, 2);
  const completion = disk.write(RING.iova + 0x3ffcn, Uint8Array.of(1, 0, 0, 0));
  domain.unmap(RING.iova, RING.size);
  const late = disk.write(RING.iova, Uint8Array.of(0xff));

  const got = [...descriptor.data].map((byte) => byte.toString(16)).join(' ');
  return `read ${got}, completion ${completion.ok ? 'written' : 'lost'}, late write ${late.ok ? 'let through' : 'refused'}: ${faults.join(', ')}`;
}
