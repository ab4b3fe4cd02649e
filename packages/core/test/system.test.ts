import { beforeEach, describe, expect, test } from 'vitest';
import {
  type DeviceDescription,
  type IommuDriver,
  IommuError,
  IommuSystem,
  isIommuError,
  loadVendors,
  type PagingDomainOps,
  PROT,
  vendorModule,
} from '../src/index.ts';

/** A driver that only writes down what it is asked, and fails where a test says so. */
function scripted() {
  const log: string[] = [];
  const failing = new Set<string>();
  const note = (line: string) => {
    log.push(line);
    if (failing.has(line)) throw new IommuError('EINVAL', line);
  };
  const attachable = (name: string) => ({
    attach: (device: { description: DeviceDescription }) => note(`${device.description.name}→${name}`),
    attachPasid: (device: { description: DeviceDescription }, pasid: number) =>
      note(`${device.description.name}/${pasid}→${name}`),
    free: () => note(`free ${name}`),
  });
  const paging = (name: string): PagingDomainOps => ({
    ...attachable(name),
    kind: 'paging',
    pageSizes: 0x201000n,
    geometry: { start: 0n, last: (1n << 39n) - 1n },
    nestParent: false,
    mapPages: (iova, _pa, pageSize, count) => {
      log.push(`map ${iova.toString(16)} ${count}×${pageSize.toString(16)}`);
      return failing.has('map') && iova >= 0x200000n
        ? { mapped: 1, error: new IommuError('ENOMEM', 'no page') }
        : { mapped: count, error: null };
    },
    unmapPages: (iova, size, gather) => {
      log.push(`unmap ${iova.toString(16)}+${size.toString(16)}`);
      gather.start = iova;
      gather.last = iova + size - 1n;
      return size;
    },
    syncMap: () => log.push('sync map'),
    syncUnmap: (gather) => log.push(`sync ${gather.start.toString(16)}-${gather.last.toString(16)}`),
    flushAll: () => log.push('flush'),
    iovaToPhys: () => null,
  });
  let made = 0;
  const driver: IommuDriver = {
    vendor: 'scripted',
    capabilities: new Set(),
    identity: { kind: 'identity', ...attachable('identity') },
    blocked: { kind: 'blocked', ...attachable('blocked') },
    probe: () => note('probe'),
    release: () => note('release'),
    probeDevice: (description) => {
      note(`probe ${description.name}`);
      return { description, maxPasids: 4 };
    },
    releaseDevice: ({ description }) => note(`release ${description.name}`),
    capable: () => false,
    hwInfo: () => null,
    reservedRegions: () => [],
    allocPaging: () => paging(`d${++made}`),
    onFault: () => {},
  };
  return { driver, log, failing };
}

const device = (name: string, id: number, isolation: string | null = null): DeviceDescription => ({
  name,
  requesterIds: [id],
  pasidBits: 2,
  ats: false,
  pri: false,
  coherent: true,
  isolation,
  busLimits: [],
});

const errnoOf = (call: () => unknown) => {
  try {
    call();
  } catch (error) {
    return isIommuError(error) ? error.errno : error;
  }
  return 'nothing thrown';
};

let rig: ReturnType<typeof scripted>;
let system: IommuSystem;
beforeEach(() => {
  rig = scripted();
  system = new IommuSystem();
  system.addUnit(rig.driver);
});

describe('groups', () => {
  test('all devices of a group move together, and back when one refuses', () => {
    const a = system.addDevice(rig.driver, device('a', 1, 'slot'));
    const b = system.addDevice(rig.driver, device('b', 2, 'slot'));
    expect(b.group).toBe(a.group);
    const domain = a.allocPaging();
    rig.failing.add('b→d1');
    rig.log.length = 0;
    expect(errnoOf(() => a.attach(domain))).toBe('EINVAL');
    expect(rig.log).toEqual(['a→d1', 'b→d1', 'a→blocked']);
    expect(a.domain.kind).toBe('blocked');
    expect(domain.users).toBe(0);
    rig.failing.clear();
    b.attach(domain);
    expect(a.domain).toBe(domain);
  });

  test('attach, replace and detach refuse what does not fit the state', () => {
    const a = system.addDevice(rig.driver, device('a', 1));
    const [one, two] = [a.allocPaging(), a.allocPaging()];
    expect(errnoOf(() => a.replace(one))).toBe('EINVAL');
    a.attach(one);
    expect(errnoOf(() => a.attach(one))).toBe('EBUSY');
    expect(errnoOf(() => a.attach(two))).toBe('EBUSY');
    rig.log.length = 0;
    a.replace(one);
    expect(rig.log).toEqual([]);
    a.replace(two);
    expect(rig.log).toEqual(['a→d2']);
    expect(errnoOf(() => two.free())).toBe('EBUSY');
    one.free();
    expect(errnoOf(() => a.replace(one))).toBe('ENOENT');
    a.detach();
    a.detach();
    expect(rig.log).toEqual(['a→d2', 'free d1', 'a→blocked']);
  });

  test('a domain of another unit does not fit', () => {
    const other = scripted();
    system.addUnit(other.driver);
    const a = system.addDevice(rig.driver, device('a', 1));
    const b = system.addDevice(other.driver, device('b', 1));
    expect(errnoOf(() => a.attach(b.allocPaging()))).toBe('EINVAL');
    expect(errnoOf(() => a.attach(b.group.identity))).toBe('EINVAL');
  });

  test('PASIDs stand apart from the device and stop at its limit', () => {
    const a = system.addDevice(rig.driver, device('a', 1));
    const domain = a.allocPaging();
    a.attach(domain, 3);
    expect(a.domain.kind).toBe('blocked');
    expect(a.group.pasids).toEqual([3]);
    expect(errnoOf(() => a.attach(domain, 3))).toBe('EBUSY');
    expect(errnoOf(() => a.replace(domain, 2))).toBe('EINVAL');
    for (const pasid of [4, -1, 1.5]) expect(errnoOf(() => a.attach(domain, pasid))).toBe('EINVAL');
    rig.log.length = 0;
    system.removeDevice(a);
    expect(rig.log).toEqual(['a/3→blocked', 'release a']);
    expect(domain.users).toBe(0);
  });
});

describe('devices and units', () => {
  test('ids are unique, and a joining device follows its group', () => {
    const a = system.addDevice(rig.driver, device('a', 1, 'slot'));
    expect(errnoOf(() => system.addDevice(rig.driver, device('x', 1)))).toBe('EEXIST');
    a.attach(a.allocPaging());
    rig.failing.add('b→d1');
    expect(errnoOf(() => system.addDevice(rig.driver, device('b', 2, 'slot')))).toBe('EINVAL');
    expect(system.devices).toEqual([a]);
    rig.failing.clear();
    const b = system.addDevice(rig.driver, device('b', 2, 'slot'));
    rig.log.length = 0;
    system.removeDevice(b);
    expect(rig.log).toEqual(['b→blocked', 'release b']);
    expect(a.domain.kind).toBe('paging');
    expect(errnoOf(() => system.removeDevice(b))).toBe('ENOENT');
  });

  test('a unit stays while devices are behind it', () => {
    const a = system.addDevice(rig.driver, device('a', 1));
    expect(errnoOf(() => system.removeUnit(rig.driver))).toBe('EBUSY');
    expect(errnoOf(() => system.addUnit(rig.driver))).toBe('EEXIST');
    system.removeDevice(a);
    system.removeUnit(rig.driver);
    expect(errnoOf(() => system.addDevice(rig.driver, device('a', 1)))).toBe('ENOENT');
  });
});

describe('paging domains', () => {
  test.each([
    ['empty', 0n, 0n, 0n, PROT.READ, 'EINVAL'],
    ['misaligned iova', 0x800n, 0n, 0x1000n, PROT.READ, 'EINVAL'],
    ['misaligned size', 0n, 0n, 0x1800n, PROT.READ, 'EINVAL'],
    ['no permission', 0n, 0n, 0x1000n, PROT.CACHE, 'EINVAL'],
    ['past the end', (1n << 39n) - 0x1000n, 0n, 0x2000n, PROT.READ, 'ERANGE'],
    ['far outside', 1n << 63n, 0n, 0x1000n, PROT.READ, 'ERANGE'],
  ] as const)('map refuses: %s', (_title, iova, pa, size, prot, errno) => {
    const domain = system.addDevice(rig.driver, device('a', 1)).allocPaging();
    rig.log.length = 0;
    expect(errnoOf(() => domain.map(iova, pa, size, prot))).toBe(errno);
    expect(rig.log).toEqual([]);
  });

  test('map goes in steps and undoes all of them when one fails', () => {
    const domain = system.addDevice(rig.driver, device('a', 1)).allocPaging();
    rig.log.length = 0;
    domain.map(0x1ff000n, 0x3ff000n, 0x202000n, PROT.READ);
    expect(rig.log).toEqual(['map 1ff000 1×1000', 'map 200000 1×200000', 'map 400000 1×1000', 'sync map']);
    rig.failing.add('map');
    rig.log.length = 0;
    expect(errnoOf(() => domain.map(0x1ff000n, 0x3ff000n, 0x202000n, PROT.READ))).toBe('ENOMEM');
    expect(rig.log.at(-2)).toBe('unmap 1ff000+201000');
  });

  test('unmap clips at the aperture and ignores what is misaligned', () => {
    const domain = system.addDevice(rig.driver, device('a', 1)).allocPaging();
    rig.log.length = 0;
    expect(domain.unmap(0x10n, 0x1000n)).toBe(0n);
    expect(domain.unmap(1n << 40n, 0x1000n)).toBe(0n);
    expect(rig.log).toEqual([]);
    expect(domain.unmap((1n << 39n) - 0x1000n, 0x3000n)).toBe(0x1000n);
    expect(rig.log).toEqual(['unmap 7ffffff000+1000', 'sync 7ffffff000-7fffffffff']);
  });

  test('what a vendor lacks is EOPNOTSUPP', () => {
    const a = system.addDevice(rig.driver, device('a', 1));
    const domain = a.allocPaging();
    const data = { type: 1, bytes: new Uint8Array(16) };
    expect(errnoOf(() => domain.allocNested(a, data))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => domain.allocViommu(a, 1))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => domain.setDirtyTracking(true))).toBe('EOPNOTSUPP');
    expect(domain.enforceCacheCoherency()).toBe(false);
  });
});

test('vendors are found through the container, each id once', () => {
  const plugin = (id: string) => vendorModule({ id } as never);
  expect(loadVendors(plugin('x'), plugin('y')).map((v) => v.id)).toEqual(['x', 'y']);
  expect(loadVendors()).toEqual([]);
  expect(() => loadVendors(plugin('x'), plugin('x'))).toThrow(/two vendors/);
});

test('an error of another copy of core is still recognised', () => {
  expect(isIommuError({ [Symbol.for('iommukit/IommuError')]: true })).toBe(true);
  expect(isIommuError(new Error('x'))).toBe(false);
  expect(new IommuError('EOPNOTSUPP', 'x').number).toBe(95);
});
