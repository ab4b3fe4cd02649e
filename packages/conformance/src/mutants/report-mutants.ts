import { type FaultRecord, type IommuDriver, OUTCOME, type PagingDomainOps, type VendorPlugin } from '@iommukit/core';
import { type Mutant, mutateDomains, mutateDriver, mutateTranslate } from './mutant.ts';

const PAGE = 0x1000n;

/** The vendor with every fault report changed; null swallows it. */
const mutateFaults = (plugin: VendorPlugin, change: (fault: FaultRecord) => readonly FaultRecord[]): VendorPlugin =>
  mutateDriver(plugin, (driver) => {
    const onFault = driver.onFault.bind(driver);
    driver.onFault = (listener) => onFault(listener && ((fault) => change(fault).forEach((one) => void listener(one))));
  });

const mutateCapabilities = (plugin: VendorPlugin): VendorPlugin =>
  mutateDriver(plugin, (driver) => {
    const probe = driver.probe.bind(driver);
    driver.probe = () => {
      probe();
      const [, ...kept] = [...driver.capabilities];
      Object.defineProperty(driver, 'capabilities', { value: new Set(kept), configurable: true });
    };
  });

/** Drivers that say what is not so: faults, dirty pages, regions, capabilities. */
export const reportMutants: readonly Mutant[] = [
  {
    id: 'driver/fault-wrong-address',
    breaks: 'faults are reported for the page beside',
    by: 'fault/not-present',
    mutate: (plugin) =>
      mutateFaults(plugin, (fault) => [{ ...fault, iova: fault.iova === null ? null : fault.iova + PAGE }]),
  },
  {
    id: 'driver/fault-wrong-device',
    breaks: 'faults are reported for another device',
    by: 'fault/whose',
    mutate: (plugin) => mutateFaults(plugin, (fault) => [{ ...fault, device: fault.device ^ 0x100 }]),
  },
  {
    id: 'driver/fault-wrong-access',
    breaks: 'every fault is a read',
    by: 'fault/not-present',
    mutate: (plugin) => mutateFaults(plugin, (fault) => [{ ...fault, access: 'read' }]),
  },
  {
    id: 'driver/fault-wrong-code',
    breaks: 'faults carry another code than the record',
    by: 'fault/not-present',
    mutate: (plugin) => mutateFaults(plugin, (fault) => [{ ...fault, code: fault.code + 1 }]),
  },
  {
    id: 'driver/fault-twice',
    breaks: 'each fault is reported twice',
    by: 'fault/not-present',
    mutate: (plugin) => mutateFaults(plugin, (fault) => [fault, fault]),
  },
  {
    id: 'driver/fault-lost',
    breaks: 'faults are swallowed',
    by: 'fault/not-present',
    mutate: (plugin) => mutateFaults(plugin, () => []),
  },
  {
    id: 'driver/fault-without-record',
    breaks: 'the native record is dropped',
    by: 'fault/native-record',
    mutate: (plugin) => mutateFaults(plugin, (fault) => [{ ...fault, raw: new Uint8Array(0) }]),
  },
  {
    id: 'driver/fault-without-pasid',
    breaks: 'the PASID of a fault is dropped',
    by: 'pasid/fault',
    needs: ['pasid'],
    mutate: (plugin) => mutateFaults(plugin, (fault) => [{ ...fault, pasid: null }]),
  },
  {
    id: 'driver/never-clears-dirty',
    breaks: 'reading dirty pages does not clear them',
    by: 'dirty/clears',
    needs: ['dirty-tracking'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const read = domain.readAndClearDirty?.bind(domain);
        if (read) domain.readAndClearDirty = (iova, size, _keep, report) => read(iova, size, true, report);
      }),
  },
  {
    id: 'driver/always-clears-dirty',
    breaks: 'keep is ignored',
    by: 'dirty/keep',
    needs: ['dirty-tracking'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const read = domain.readAndClearDirty?.bind(domain);
        if (read) domain.readAndClearDirty = (iova, size, _keep, report) => read(iova, size, false, report);
      }),
  },
  {
    id: 'driver/never-tracks',
    breaks: 'turning dirty tracking on does nothing',
    by: 'dirty/writes-only',
    needs: ['dirty-tracking'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        if (domain.setDirtyTracking) domain.setDirtyTracking = () => {};
      }),
  },
  {
    id: 'driver/refuses-coherency',
    breaks: 'coherency is never granted',
    by: 'information/coherency',
    needs: ['enforce-cache-coherency'],
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.enforceCacheCoherency = () => false)),
  },
  {
    id: 'driver/forgets-firmware',
    breaks: "firmware's regions are not listed",
    by: 'reserved/firmware',
    mutate: (plugin) => mutateRegions(plugin, (type) => !type.startsWith('direct')),
  },
  {
    id: 'driver/forgets-msi',
    breaks: 'the window for message interrupts is not listed',
    by: 'reserved/interrupts-have-a-place',
    mutate: (plugin) => mutateRegions(plugin, (type) => !type.endsWith('msi')),
  },
  {
    id: 'driver/takes-any-information-type',
    breaks: 'an unknown type of hardware information is answered',
    by: 'information/unknown-type',
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const info = driver.hwInfo.bind(driver);
        driver.hwInfo = (device) => info(device, 0);
      }),
  },
  {
    id: 'driver/hides-information',
    breaks: 'hardware information is not given',
    by: 'information/hw-info',
    needs: ['hw-info'],
    mutate: (plugin) => mutateDriver(plugin, (driver) => void (driver.hwInfo = () => null)),
  },
  {
    id: 'driver/ignores-flags',
    breaks: 'unknown allocation flags are taken',
    by: 'information/unknown-flags',
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const alloc = driver.allocPaging.bind(driver);
        driver.allocPaging = (device) => alloc(device, 0, null);
      }),
  },
  {
    id: 'driver/loses-a-capability',
    breaks: 'the driver does not see something the hardware has',
    by: 'lifecycle/declared-capabilities',
    mutate: mutateCapabilities,
  },
  {
    id: 'driver/release-does-nothing',
    breaks: 'release gives no memory back',
    by: 'lifecycle/comes-back',
    mutate: (plugin) => mutateDriver(plugin, (driver: IommuDriver) => void (driver.release = () => {})),
  },
  {
    id: 'driver/faults-out-of-order',
    breaks: 'a fault is told after the next one',
    by: 'fault/in-order',
    mutate: (plugin) => {
      const held: FaultRecord[] = [];
      return mutateFaults(plugin, (fault) => {
        held.push(fault);
        return held.length < 2 ? [] : held.splice(0).reverse();
      });
    },
  },
  {
    id: 'driver/deaf-after-overflow',
    breaks: 'what is recorded after the log was full is not reported',
    by: 'fault/after-overflow',
    mutate: deafAfterOverflow,
  },
  {
    id: 'driver/reports-before-it-is-done',
    breaks: 'an unmap is two operations, and faults are told between them',
    by: 'fault/operation-is-over',
    unless: ['whole-mappings'],
    mutate: (plugin) => {
      const domains: PagingDomainOps[] = [];
      return mutateDomains(plugin, (domain) => {
        const sync = domain.syncUnmap.bind(domain);
        domain.syncUnmap = (gather) => {
          for (const other of domains) if (other !== domain) other.flushAll();
          sync(gather);
        };
        domains.push(domain);
      });
    },
  },
];

function mutateRegions(plugin: VendorPlugin, keeps: (type: string) => boolean): VendorPlugin {
  return mutateDriver(plugin, (driver) => {
    const regions = driver.reservedRegions.bind(driver);
    driver.reservedRegions = (device) => regions(device).filter(({ type }) => keeps(type));
  });
}

/** Counts what the hardware records; from the first refusal it has no room for, nothing recorded later is told. */
function deafAfterOverflow(plugin: VendorPlugin): VendorPlugin {
  let recorded = 0;
  let told = 0;
  let last = Number.POSITIVE_INFINITY;
  const counted = mutateTranslate(plugin, () => (request, answer, honest) => {
    honest(request, answer);
    if (answer.outcome !== OUTCOME.FAULT || answer.code === -1) return;
    if (answer.recordWords > 0) recorded++;
    else last = Math.min(last, recorded);
  });
  return mutateFaults(counted, (fault) => (told++ < last ? [fault] : []));
}
