import {
  type DriverPorts,
  type IommuDriver,
  isIommuError,
  type MmioRegion,
  type PhysicalMemory,
  type VendorPlugin,
} from '@iommukit/core';
import { type Mutant, mutateDomains, mutateDriver, mutateDriverPorts } from './mutant.ts';

/** Drivers that leave devices where they should not be. */
export const attachMutants: readonly Mutant[] = [
  {
    id: 'driver/attach-does-nothing',
    breaks: 'attach only says it attached',
    by: 'attach/translates',
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.attach = () => {})),
  },
  {
    id: 'driver/replace-does-nothing',
    breaks: 'a device that has a domain keeps it',
    by: 'replace/switches',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const attach = domain.attach.bind(domain);
        domain.attach = (device, old) => {
          if (old.kind !== 'paging') attach(device, old);
        };
      }),
  },
  {
    id: 'driver/detach-does-nothing',
    breaks: 'a detached device keeps its domain',
    by: 'attach/detach-blocks',
    mutate: (plugin) => mutateDriver(plugin, (driver) => void (driver.blocked.attach = () => {})),
  },
  {
    id: 'driver/detach-passes-through',
    breaks: 'a detached device gets identity',
    by: 'attach/detach-blocks',
    needs: ['identity-passthrough'],
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const block = driver.blocked.attach.bind(driver.blocked);
        driver.blocked.attach = (device, old) => {
          block(device, old);
          driver.identity.attach(device, driver.blocked);
        };
      }),
  },
  {
    id: 'driver/forgets-an-alias',
    breaks: 'only the first requester id of a device is looked after',
    by: 'lifecycle/all-ids-of-a-device',
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const probe = driver.probeDevice.bind(driver);
        driver.probeDevice = (description) =>
          probe({ ...description, requesterIds: description.requesterIds.slice(0, 1) });
      }),
  },
  {
    id: 'driver/free-does-nothing',
    breaks: 'a freed domain keeps its memory',
    by: 'lifecycle/cycles-leave-nothing',
    unless: ['whole-mappings'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        domain.free = () => {};
      }),
  },
  {
    id: 'driver/forgets-pasid',
    breaks: 'attaching a PASID attaches the device',
    by: 'pasid/own-domain',
    needs: ['pasid'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        domain.attachPasid = (device, _pasid, old) => domain.attach(device, old);
      }),
  },
  {
    id: 'driver/keeps-a-pasid',
    breaks: 'a detached PASID keeps its domain',
    by: 'pasid/detach',
    needs: ['pasid'],
    mutate: (plugin) => mutateDriver(plugin, (driver) => void (driver.blocked.attachPasid = () => {})),
  },
  {
    id: 'driver/takes-any-device',
    breaks: 'a device of another unit is attached without a word',
    by: 'attach/other-unit',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const attach = domain.attach.bind(domain);
        domain.attach = (device, old) => {
          try {
            attach(device, old);
          } catch (error) {
            if (!isIommuError(error) || error.errno !== 'EINVAL') throw error;
          }
        };
      }),
  },
  {
    id: 'driver/no-way-back',
    breaks: 'what an attach wrote stays when the unit does not answer',
    by: 'failure/dead-unit-attach',
    mutate: withoutWayBack,
  },
  {
    id: 'driver/trusts-its-predecessor',
    breaks: 'a unit that somebody left running is used as it stands',
    by: 'lifecycle/left-running',
    mutate: (plugin) => {
      const known = new Map<DriverPorts, IommuDriver>();
      return {
        ...plugin,
        createDriver(ports, unit) {
          const running = known.get(ports);
          const driver = running ?? plugin.createDriver(ports, unit);
          if (running) running.probe = () => {};
          known.set(ports, driver);
          return driver;
        },
      };
    },
  },
];

/** More turns of a polling loop than a unit needs that answers at all. */
const PATIENCE = 5000;

/** Memory that a driver writes after it has polled long in one attach does not change. */
function withoutWayBack(plugin: VendorPlugin): VendorPlugin {
  let turns = 0;
  const stuck = mutateDriverPorts(plugin, (ports) => {
    const memory = Object.create(ports.memory) as PhysicalMemory;
    memory.write32 = (...args) => turns > PATIENCE || ports.memory.write32(...args);
    memory.write64 = (...args) => turns > PATIENCE || ports.memory.write64(...args);
    const mmio = Object.create(ports.mmio) as MmioRegion;
    mmio.read32 = (offset) => {
      turns++;
      return ports.mmio.read32(offset);
    };
    const relax = () => {
      turns++;
      ports.time.relax();
    };
    return { ...ports, mmio, memory, time: { relax } };
  });
  return mutateDomains(stuck, (domain) => {
    const attach = domain.attach.bind(domain);
    domain.attach = (device, old) => {
      turns = 0;
      try {
        attach(device, old);
      } finally {
        turns = 0;
      }
    };
  });
}
