import { isIommuError, type VendorConfig } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { Machine, MEMORY_MAP, type Unit } from '../src/index.ts';
import { REG, type ToyHardware, toy } from './support/toy.ts';

function rig(options: ConstructorParameters<typeof Machine>[0] = {}) {
  const machine = new Machine(options);
  const unit = machine.addUnit(toy());
  const { mmio, irq, time } = unit.ports;
  return { machine, unit, mmio, irq, time, hardware: unit.hardware as ToyHardware };
}

const pollsUntilDone = ({ mmio }: Unit['ports'], value: number): number => {
  for (let polls = 1; polls < 1000; polls++) if (mmio.read32(REG.DONE) === value) return polls;
  return -1;
};

describe('schedule', () => {
  test('at once: done when the access returns', () => {
    const { unit, mmio } = rig();
    mmio.write32(REG.DOORBELL, 7);
    expect(pollsUntilDone(unit.ports, 7)).toBe(1);
  });

  test.each([0, 1, 5])('after %i polls', (afterPolls) => {
    const { unit, mmio } = rig({ schedule: { afterPolls } });
    mmio.write32(REG.DOORBELL, 7);
    // The doorbell's own access is the first tick.
    expect(pollsUntilDone(unit.ports, 7)).toBe(Math.max(1, afterPolls));
  });

  test('a poll that only relaxes also moves time', () => {
    const { mmio, time } = rig({ schedule: { afterPolls: 3 } });
    mmio.write32(REG.DOORBELL, 7);
    time.relax();
    time.relax();
    expect(mmio.read32(REG.DONE)).toBe(7);
  });

  test('a seed gives the same delays again, bounded, and not all the same', () => {
    const delays = (seed: number) => {
      const { unit, mmio } = rig({ schedule: { seed } });
      return Array.from({ length: 40 }, (_, i) => {
        mmio.write32(REG.DOORBELL, i + 1);
        return pollsUntilDone(unit.ports, i + 1);
      });
    };
    expect(delays(1)).toEqual(delays(1));
    expect(delays(1)).not.toEqual(delays(2));
    expect(Math.max(...delays(3))).toBe(7);
    expect(new Set(delays(3)).size).toBeGreaterThan(4);
  });

  test('work that waits is queued once', () => {
    const { mmio, hardware, machine } = rig({ schedule: { afterPolls: 10 } });
    mmio.write32(REG.DOORBELL, 1);
    mmio.write32(REG.DOORBELL, 2);
    expect(machine.idle).toBe(false);
    expect(machine.runUntilIdle()).toBe(true);
    expect(hardware.runs).toBe(1);
    expect(mmio.read32(REG.DONE)).toBe(2);
  });

  test('work that never ends neither hangs an access nor stops time', () => {
    const { mmio, hardware, machine } = rig();
    mmio.write32(REG.ENDLESS, 1);
    mmio.write32(REG.DOORBELL, 1);
    const first = hardware.runs;
    expect(first).toBeGreaterThan(1);
    machine.run();
    expect(hardware.runs).toBeGreaterThan(first);
    expect(machine.runUntilIdle(10)).toBe(false);
    machine.memory.write32(0, Number(MEMORY_MAP.mmio.start) + REG.ENDLESS, 0);
    expect(machine.runUntilIdle()).toBe(true);
  });

  test('a new schedule makes what waits due', () => {
    const { mmio, machine } = rig({ schedule: { afterPolls: 1000 } });
    mmio.write32(REG.DOORBELL, 9);
    machine.schedule = 'at-once';
    expect(machine.schedule).toBe('at-once');
    machine.run();
    expect(mmio.read32(REG.DONE)).toBe(9);
  });

  test.each([{ afterPolls: -1 }, { afterPolls: 0.5 }, { seed: Number.NaN }])('%j is refused', (schedule) => {
    expect(() => new Machine({ schedule })).toThrow(RangeError);
  });
});

describe('interrupts', () => {
  test('come after the access, never inside it, and do not nest', () => {
    const { mmio, irq } = rig();
    const log: string[] = [];
    let depth = 0;
    irq.event!.handle(() => {
      depth++;
      log.push(`handler ${depth} sees ${mmio.read32(REG.DONE)}`);
      if (mmio.read32(REG.DOORBELL) < 3) mmio.write32(REG.DOORBELL, mmio.read32(REG.DOORBELL) + 1);
      log.push('handler done');
      depth--;
    });
    mmio.write32(REG.DOORBELL, 1);
    expect(log).toEqual([1, 2, 3].flatMap((n) => [`handler 1 sees ${n}`, 'handler done']));
  });

  test('a handler that always raises again does not hang the access', () => {
    const { mmio, irq, machine } = rig();
    let calls = 0;
    irq.event!.handle(() => {
      calls++;
      mmio.write32(REG.DOORBELL, calls);
    });
    mmio.write32(REG.DOORBELL, 1);
    const first = calls;
    expect(machine.idle).toBe(false);
    machine.run();
    expect(calls).toBeGreaterThan(first);
  });

  test('a handler that throws leaves the board usable', () => {
    const { mmio, irq } = rig();
    let calls = 0;
    irq.event!.handle(() => {
      if (++calls === 1) throw new Error('driver bug');
    });
    expect(() => mmio.write32(REG.DOORBELL, 1)).toThrow('driver bug');
    mmio.write32(REG.DOORBELL, 2);
    expect(calls).toBe(2);
  });

  test('a message is a 32-bit write of the right data at the right address', () => {
    const { mmio, irq, machine } = rig();
    const seen: string[] = [];
    irq.event!.handle(() => seen.push('event'));
    irq.error!.handle(() => seen.push('error'));
    const send = (address: bigint, data: number) => {
      mmio.write64(REG.MSI_ADDRESS, address);
      mmio.write32(REG.MSI_DATA, data);
      mmio.write32(REG.SEND, 1);
    };
    const { event, error } = { event: irq.event!.msi!, error: irq.error!.msi! };
    expect(event.address).not.toBe(error.address);
    expect(event.data).not.toBe(error.data);
    send(error.address, error.data);
    send(event.address, event.data);
    expect(seen).toEqual(['error', 'event']);
    expect(machine.spuriousInterrupts).toBe(0);
    send(event.address, error.data);
    send(event.address + 4n, event.data);
    send(MEMORY_MAP.doorbells.last - 3n, 0xffff_ffff);
    expect(seen).toHaveLength(2);
    expect(machine.spuriousInterrupts).toBe(3);
  });

  test('a platform without messages has lines only', () => {
    const { irq, mmio, machine } = rig({ messageInterrupts: false });
    expect(irq.event!.msi).toBeNull();
    let calls = 0;
    irq.event!.handle(() => calls++);
    mmio.write32(REG.DOORBELL, 1);
    expect(calls).toBe(1);
    irq.event!.handle(null);
    mmio.write32(REG.DOORBELL, 1);
    expect(calls).toBe(1);
    expect(machine.spuriousInterrupts).toBe(1);
  });
});

describe('units', () => {
  test('several, each with its own frame, ids and interrupts', () => {
    const machine = new Machine();
    const units = [machine.addUnit(toy()), machine.addUnit(toy({ id: 'other' })), machine.addUnit(toy())];
    expect(units.map((unit) => unit.id)).toEqual(['toy-0', 'other-0', 'toy-1']);
    expect(units.map((unit) => unit.description.mmioBase)).toEqual([0x0900_0000n, 0x0910_0000n, 0x0920_0000n]);
    const messages = units.flatMap(({ ports }) => Object.values(ports.irq).map((source) => source.msi!.address));
    expect(new Set(messages).size).toBe(6);
    units.forEach((unit, i) => {
      unit.ports.mmio.write32(REG.DOORBELL, i + 1);
    });
    expect(units.map((unit) => unit.ports.mmio.read32(REG.DONE))).toEqual([1, 2, 3]);
  });

  test('a frame is found by its physical address, through ticks or through the bus', () => {
    const { machine, unit } = rig();
    const base = unit.description.mmioBase;
    const found = machine.mmio(base + BigInt(REG.DOORBELL))!;
    expect(found.unit).toBe(unit);
    found.region.write32(found.offset, 5);
    expect(machine.memory.read64(0, Number(base) + REG.DOORBELL)).toBe(true);
    expect([machine.memory.lo, machine.memory.hi]).toEqual([5, 5]);
    expect(machine.memory.write64(0, Number(base) + REG.BASE, 1, -2)).toBe(true);
    expect(unit.ports.mmio.read64(REG.BASE)).toBe(0x1_ffff_fffen);
    expect(machine.mmio(base + 0x40n)).toBeNull();
    expect(machine.mmio(base - 1n)).toBeNull();
  });

  test('a unit whose message points at its own register does not recurse', () => {
    const { unit, mmio } = rig();
    const self = unit.description.mmioBase + BigInt(REG.SEND);
    mmio.write64(REG.MSI_ADDRESS, self);
    mmio.write32(REG.MSI_DATA, 3);
    mmio.write32(REG.SEND, 1);
    expect(mmio.read32(REG.SEND)).toBe(3);
  });

  test('narrow accesses arrive narrow', () => {
    const { mmio } = rig();
    mmio.write8(REG.NARROW, 0x1ff);
    mmio.write16(REG.NARROW, 0x2222);
    expect([mmio.read8(REG.NARROW), mmio.read16(REG.NARROW)]).toEqual([0xff, 0]);
  });

  test('the description is a frozen copy', () => {
    const devices = [1];
    const machine = new Machine();
    const { description } = machine.addUnit(toy(), undefined, {
      id: 'u',
      mmioBase: 0x1_0000_0000n,
      hostAddressBits: 39,
      reservations: [{ start: 1n, last: 2n, relaxable: true, devices }],
    });
    devices.push(2);
    expect(description).toEqual({
      id: 'u',
      mmioBase: 0x1_0000_0000n,
      hostAddressBits: 39,
      reservations: [{ start: 1n, last: 2n, relaxable: true, devices: [1] }],
      properties: { flavour: 'toy' },
    });
    expect(Object.isFrozen(description.reservations[0])).toBe(true);
  });

  test('doubled ids, overlapping frames and a vendor without configurations are refused', () => {
    const { machine } = rig();
    expect(() => machine.addUnit(toy(), undefined, { id: 'toy-0' })).toThrow(/two units/);
    expect(() => machine.addUnit(toy(), undefined, { mmioBase: 0x0900_0020n })).toThrow(/two devices/);
    expect(() => machine.addUnit({ ...toy(), configs: [] as VendorConfig[] })).toThrow(/no configuration/);
    expect(machine.units).toHaveLength(1);
  });

  test('the driver is made when asked for, once, over the unit’s ports', () => {
    const machine = new Machine();
    const unit = machine.addUnit(toy());
    expect(unit.driver).toBe(unit.driver);
    expect((unit.driver as unknown as Unit).ports).toBe(unit.ports);
    const bare = machine.addUnit(toy({ driver: false }));
    expect(() => bare.driver).toThrow('no driver wanted');
  });

  test('neither latch is the other half’s', () => {
    const { machine, unit } = rig();
    machine.memory.write64(0, 0x1000, 1, 2);
    unit.ports.memory.read64(0, 0x1000);
    unit.ports.mmio.write64(REG.BASE, 0x2000n);
    unit.endpoint({ requesterIds: [1] }).read(0n, 1);
    expect([unit.ports.memory.hi, unit.ports.memory.lo]).toEqual([1, 2]);
  });

  test('reset clears hardware and what was on its way; memory and pages stay', () => {
    const { machine, unit, mmio } = rig({ schedule: { afterPolls: 5 } });
    const pa = unit.ports.pages.alloc(4096);
    unit.ports.memory.write32(0, pa, 1);
    mmio.write32(REG.DOORBELL, 1);
    machine.reset();
    expect(machine.idle).toBe(true);
    expect(mmio.read32(REG.DOORBELL)).toBe(0);
    expect(machine.memory.read32(0, pa) && machine.memory.lo).toBe(1);
    expect(machine.pages.livePages).toBe(1);
  });

  test('pages come from below 4 GiB and run out with ENOMEM', () => {
    const machine = new Machine({ pages: { start: 0x1000n, last: 0x1fffn } });
    expect(machine.pages.alloc(1)).toBe(0x1000);
    let errno = '';
    try {
      machine.pages.alloc(1);
    } catch (error) {
      if (isIommuError(error)) errno = error.errno;
    }
    expect(errno).toBe('ENOMEM');
    expect(new Machine().pages.alloc(1)).toBe(Number(MEMORY_MAP.pages.start));
  });
});

describe('observers', () => {
  test('see writes before the hardware does, reads after, and can leave', () => {
    const { machine, mmio, hardware } = rig();
    const log: unknown[] = [];
    const leave = machine.observe({
      write: (unit, offset, size, value) => log.push([unit.id, 'w', offset, size, value, hardware.runs]),
      read: (unit, offset, size, value) => log.push([unit.id, 'r', offset, size, value]),
    });
    mmio.write32(REG.DOORBELL, 5);
    mmio.read64(REG.DOORBELL);
    leave();
    mmio.read32(REG.DONE);
    expect(log).toEqual([
      ['toy-0', 'w', REG.DOORBELL, 4, 5, 0],
      ['toy-0', 'r', REG.DOORBELL, 8, 0x5_0000_0005n],
    ]);
  });
});
