import { armSmmuV3 } from '@iommukit/arm-smmuv3';
import { intelVtd } from '@iommukit/intel-vtd';
import { describe, expect, it } from 'vitest';
import { MachineFiles, parseMachine } from '../src/index.ts';

const VENDORS = [armSmmuV3, intelVtd];
const unit = { id: 'u', vendor: 'intel-vtd' };
const device = { requesterIds: [8] };

describe('a machine from its description', () => {
  it('has the devices that programs open, and no others', () => {
    const files = new MachineFiles(
      parseMachine({
        units: [unit, { vendor: 'arm-smmuv3', hostAddressBits: 48n }],
        devices: [device, { name: 'nic', unit: 'unit1', requesterIds: [0x10n, 0x11n], pasidBits: 4 }],
      }),
      VENDORS,
    );
    expect(files.devices).toEqual(['vfio0', 'nic']);
    expect(() => files.open('/dev/vfio/devices/nic')).not.toThrow();
    expect(() => files.open('/dev/vfio/devices/none')).toThrow('ENOENT');
    expect(() => files.open('/etc/passwd')).toThrow('ENOENT');
    expect(files.open(null).ioctl(0x3bff, 0n, null as never)).toBe(-25);
  });

  it.each([
    ['nothing', null, ': not a mapping'],
    ['no units', {}, 'units: a machine has at least one unit'],
    ['a stranger', { units: [unit], cpus: 2 }, "no field 'cpus'"],
    ['no vendor', { units: [{}] }, 'units[0].vendor: not a text'],
    ['two units of one name', { units: [unit, unit] }, "units: 'u' is there twice"],
    ['a narrow host', { units: [{ ...unit, hostAddressBits: 12 }] }, 'units[0].hostAddressBits: not in'],
    ['a device without ids', { units: [unit], devices: [{}] }, 'devices[0].requesterIds: a device has at least one'],
    ['an id that is none', { units: [unit], devices: [{ requesterIds: [-1] }] }, 'devices[0].requesterIds[0]: not in'],
    ['an id in words', { units: [unit], devices: [{ requesterIds: ['x'] }] }, 'requesterIds[0]: not an integer'],
    ['an unknown unit', { units: [unit], devices: [{ ...device, unit: 'v' }] }, "devices[0].unit: no unit 'v'"],
    ['a name with a slash', { units: [unit], devices: [{ ...device, name: 'a/b' }] }, 'devices[0].name: letters'],
    ['a wrong flag', { units: [unit], devices: [{ ...device, ats: 1 }] }, 'devices[0].ats: not true or false'],
    [
      'an empty range',
      { units: [unit], devices: [{ ...device, busLimits: [{ start: 2, last: 1 }] }] },
      'busLimits[0].last',
    ],
    ['a schedule', { units: [unit], schedule: 'soon' }, "schedule: 'at-once'"],
  ])('refuses %s', (_name, document, message) => {
    expect(() => parseMachine(document)).toThrow(message);
  });

  it.each([
    ['vendor', { units: [{ vendor: 'x' }] }, "units[0]: no vendor 'x'; there are arm-smmuv3, intel-vtd"],
    ['configuration', { units: [{ ...unit, config: 'x' }] }, "units[0]: no config 'x' of intel-vtd"],
    ['requester id', { units: [unit], devices: [device, { ...device, name: 'b' }] }, 'devices[1]: EEXIST'],
  ])('refuses a %s that cannot be', (_name, document, message) => {
    expect(() => new MachineFiles(parseMachine(document), VENDORS)).toThrow(message);
  });
});
