import { hiOf, loOf, toBig } from '@iommukit/bits';
import { type Device, IommuSystem, isIommuError, PROT, type ReportedFault } from '@iommukit/core';
import { Machine, type Schedule } from '@iommukit/machine';
import { describe, expect, test } from 'vitest';
import { CONFIGS } from '../../src/config.ts';
import { virtioIommu } from '../../src/plugin.ts';

const RW = PROT.READ | PROT.WRITE;
const MiB = 0x10_0000n;

function bringUp(name: string, schedule: Schedule = 'at-once') {
  const machine = new Machine({ schedule });
  const unit = machine.addUnit(virtioIommu, CONFIGS.find((config) => config.name === name)!);
  const host = new IommuSystem();
  const faults: ReportedFault[] = [];
  host.onFault((fault) => faults.push(fault));
  host.addUnit(unit.driver);
  const add = (requesterIds: number[], isolation: string | null = null) => {
    const endpoint = unit.endpoint({ requesterIds, isolation });
    return { endpoint, device: host.addDevice(unit.driver, endpoint.description) };
  };
  return { machine, unit, host, faults, add };
}

const errnoOf = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return 'none';
};

const cases = CONFIGS.flatMap(({ name }) =>
  (['at-once', { afterPolls: 5 }, { seed: 7 }] as Schedule[]).map((schedule) => ({ name, schedule })),
);

describe.each(cases)('$name, schedule $schedule', ({ name, schedule }) => {
  test('has the capabilities its configuration declares', () => {
    const { unit } = bringUp(name, schedule);
    expect([...unit.driver.capabilities].sort()).toEqual([...unit.config.declared].sort());
  });

  test('a device starts blocked, and says so', () => {
    const { add, faults } = bringUp(name, schedule);
    const { endpoint } = add([0x18]);
    expect(endpoint.read(0x4000_0000n, 8).ok).toBe(false);
    expect(faults.map(({ record }) => [record.reason, record.device, record.iova, record.access])).toEqual([
      ['blocked', 0x18, 0x4000_0000n, 'read'],
    ]);
  });

  test('map, DMA, unmap, fault', () => {
    const { machine, add, faults } = bringUp(name, schedule);
    const { endpoint, device } = add([0x18]);
    const domain = device.allocPaging();
    device.attach(domain);
    domain.map(16n * MiB, 0x8000_0000n, MiB, RW);
    expect(domain.iovaToPhys(16n * MiB + 5n)).toBe(0x8000_0005n);
    expect(endpoint.write(16n * MiB + 0xffen, Uint8Array.of(1, 2, 3, 4)).ok).toBe(true);
    const seen = new Uint8Array(4);
    machine.memory.readBytes(0x8000_0ffen, seen);
    expect([...seen]).toEqual([1, 2, 3, 4]);
    expect(domain.unmap(16n * MiB, MiB)).toBe(MiB);
    expect(endpoint.read(16n * MiB, 1).ok).toBe(false);
    expect(faults.map(({ record }) => [record.reason, record.name, record.code])).toEqual([
      ['not-present', 'MAPPING', 2],
    ]);
  });

  test('mappings made before the first attachment are replayed, and again after the domain vanished', () => {
    const { add } = bringUp(name, schedule);
    const { endpoint, device } = add([0x18, 0x19]);
    const domain = device.allocPaging();
    domain.map(16n * MiB, 0x8000_0000n, MiB, PROT.READ);
    for (let round = 0; round < 2; round++) {
      device.attach(domain);
      expect(endpoint.read(16n * MiB, 4).ok).toBe(true);
      expect(endpoint.read(16n * MiB, 4, { requesterId: 0x19 }).ok).toBe(true);
      expect(endpoint.write(16n * MiB, Uint8Array.of(1)).ok).toBe(false);
      device.detach();
      expect(endpoint.read(16n * MiB, 4).ok).toBe(false);
    }
  });

  test('identity lets everything through but the reserved regions', () => {
    const { add, unit } = bringUp(name, schedule);
    const { endpoint, device } = add([0x18]);
    device.attach(device.group.identity);
    const address = 0x8123_4000n;
    expect(endpoint.translate(hiOf(address), loOf(address), 1)).not.toBe(2);
    expect(toBig(endpoint.answer.paHi, endpoint.answer.paLo)).toBe(address);
    const msi = unit.driver.reservedRegions(device.handle).filter(({ type }) => type === 'msi');
    expect(msi).toHaveLength(name === 'no-probe' ? 0 : 1);
    device.detach();
    expect(endpoint.translate(hiOf(address), loOf(address), 1)).toBe(2);
  });

  test('an unmap that cuts a mapping removes nothing of it', () => {
    const { add, unit } = bringUp(name, schedule);
    const { endpoint, device } = add([0x18]);
    const domain = device.allocPaging();
    device.attach(domain);
    const { granule } = domain;
    domain.map(16n * MiB, 0x8000_0000n, 4n * granule, RW);
    expect(domain.unmap(16n * MiB, granule)).toBe(0n);
    expect(domain.unmap(16n * MiB + granule, 4n * granule)).toBe(0n);
    expect(endpoint.read(16n * MiB, 4).ok).toBe(true);
    expect(domain.unmap(16n * MiB, 4n * granule)).toBe(4n * granule);
    expect(unit.hardware.mmio.read32(0x70)).toBe(0xf);
  });

  test('overlap is EEXIST and leaves everything as it was', () => {
    const { add } = bringUp(name, schedule);
    const { endpoint, device } = add([0x18]);
    const domain = device.allocPaging();
    device.attach(domain);
    domain.map(17n * MiB, 0x8000_0000n, MiB, RW);
    expect(errnoOf(() => domain.map(16n * MiB, 0x9000_0000n, 2n * MiB, RW))).toBe('EEXIST');
    expect(domain.iovaToPhys(16n * MiB)).toBe(null);
    expect(domain.iovaToPhys(17n * MiB)).toBe(0x8000_0000n);
    expect(endpoint.read(16n * MiB, 4).ok).toBe(false);
    expect(endpoint.read(17n * MiB, 4).ok).toBe(true);
  });

  test('isolation: two devices, two domains, and one shared', () => {
    const { add } = bringUp(name, schedule);
    const a = add([0x18]);
    const b = add([0x20]);
    const first = a.device.allocPaging();
    const second = b.device.allocPaging();
    a.device.attach(first);
    b.device.attach(second);
    first.map(16n * MiB, 0x8000_0000n, MiB, RW);
    expect([a.endpoint.read(16n * MiB, 1).ok, b.endpoint.read(16n * MiB, 1).ok]).toEqual([true, false]);
    b.device.replace(first);
    expect(b.endpoint.read(16n * MiB, 1).ok).toBe(true);
    a.device.detach();
    expect([a.endpoint.read(16n * MiB, 1).ok, b.endpoint.read(16n * MiB, 1).ok]).toEqual([false, true]);
  });

  test('everything allocated is given back', () => {
    const { host, unit, machine, add } = bringUp(name, schedule);
    const { device } = add([0x18]);
    const domain = device.allocPaging();
    device.attach(domain);
    domain.map(16n * MiB, 0x8000_0000n, MiB, RW);
    host.removeDevice(device);
    domain.free();
    host.removeUnit(unit.driver);
    expect(machine.pages.livePages).toBe(0);
    expect(unit.hardware.mmio.read32(0x70)).toBe(0);
    host.addUnit(unit.driver);
    const again: Device = add([0x18]).device;
    again.attach(again.allocPaging());
  });
});
