import {
  type FaultRecord,
  type IommuDriver,
  isIommuError,
  type NativeInvalidation,
  PROT,
  type VendorPlugin,
} from '@iommukit/core';
import { type Mutant, mutateDomains, mutateDriver, mutateGuests } from './mutant.ts';

const PAGE = 0x1000n;

const granuleOf = (sizes: bigint): bigint => sizes & -sizes;

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

/** Drivers of any vendor that break one promise each, made by patching what the contract gives a driver to do. */
export const driverMutants: readonly Mutant[] = [
  {
    id: 'driver/forgets-unmap-invalidation',
    breaks: 'unmap does not tell the unit',
    by: 'unmap/no-stale-translation',
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.syncUnmap = () => {})),
  },
  {
    id: 'driver/invalidates-first-page-only',
    breaks: 'an unmap of many pages invalidates the first',
    by: 'unmap/range-512',
    unless: ['whole-mappings'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const sync = domain.syncUnmap.bind(domain);
        domain.syncUnmap = (gather) => {
          if (gather.start <= gather.last) gather.last = gather.start + granuleOf(domain.pageSizes) - 1n;
          sync(gather);
        };
      }),
  },
  {
    id: 'driver/forgets-flush',
    breaks: 'a flush does nothing',
    by: 'invalidation/flush-drops-everything',
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.flushAll = () => {})),
  },
  {
    id: 'driver/unmaps-nothing',
    breaks: 'unmap says it removed the pages, and did not',
    by: 'unmap/no-stale-translation',
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.unmapPages = (_iova, size) => size)),
  },
  {
    id: 'driver/unmap-boasts',
    breaks: 'unmap answers with what was asked, not with what was removed',
    by: 'unmap/hole-is-zero',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const unmap = domain.unmapPages.bind(domain);
        domain.unmapPages = (iova, size, gather) => {
          unmap(iova, size, gather);
          return size;
        };
      }),
  },
  {
    id: 'driver/unmaps-too-much',
    breaks: 'unmap takes the next page too',
    by: 'unmap/neighbours-stay',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const unmap = domain.unmapPages.bind(domain);
        domain.unmapPages = (iova, size, gather) => {
          const removed = unmap(iova, size + granuleOf(domain.pageSizes), gather);
          return removed < size ? removed : size;
        };
      }),
  },
  {
    id: 'driver/drops-write',
    breaks: 'every mapping is read-only',
    by: 'attach/translates',
    mutate: (plugin) => mutateProt(plugin, (prot) => prot & ~PROT.WRITE || PROT.READ),
  },
  {
    id: 'driver/adds-write',
    breaks: 'every mapping is writable',
    by: 'permission/read-only',
    mutate: (plugin) => mutateProt(plugin, (prot) => prot | PROT.WRITE),
  },
  {
    id: 'driver/adds-read',
    breaks: 'every mapping is readable',
    by: 'permission/write-only',
    needs: ['write-only-mapping'],
    mutate: (plugin) => mutateProt(plugin, (prot) => prot | PROT.READ),
  },
  {
    id: 'driver/ignores-noexec',
    breaks: 'NOEXEC is dropped',
    by: 'permission/no-execute',
    needs: ['execute-permission'],
    mutate: (plugin) => mutateProt(plugin, (prot) => prot & ~PROT.NOEXEC),
  },
  {
    id: 'driver/wrong-page',
    breaks: 'a page is mapped to the one beside it',
    by: 'attach/translates',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const map = domain.mapPages.bind(domain);
        domain.mapPages = (iova, pa, pageSize, count, prot) => map(iova, pa + pageSize, pageSize, count, prot);
      }),
  },
  {
    id: 'driver/maps-over',
    breaks: 'mapping over something replaces it',
    by: 'map/over-a-mapping',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const map = domain.mapPages.bind(domain);
        domain.mapPages = (iova, pa, pageSize, count, prot) => {
          const result = map(iova, pa, pageSize, count, prot);
          return isIommuError(result.error) && result.error.errno === 'EEXIST'
            ? { mapped: count, error: null }
            : result;
        };
      }),
  },
  {
    id: 'driver/miscounts-a-failed-map',
    breaks: 'a map that fails half-way says it mapped nothing',
    by: 'failure/map',
    unless: ['whole-mappings'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const map = domain.mapPages.bind(domain);
        domain.mapPages = (...args) => {
          const result = map(...args);
          return result.error ? { mapped: 0, error: result.error } : result;
        };
      }),
  },
  {
    id: 'driver/forgets-offset',
    breaks: 'iovaToPhys answers with the page',
    by: 'map/iova-to-phys',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const lookup = domain.iovaToPhys.bind(domain);
        domain.iovaToPhys = (iova) => {
          const pa = lookup(iova);
          return pa === null ? null : pa & ~(PAGE - 1n);
        };
      }),
  },
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
    id: 'driver/unplug-does-nothing',
    breaks: 'a device that goes leaves what was set up for it',
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
    id: 'driver/takes-foreign-memory-for-its-own',
    breaks: 'release gives no memory back',
    by: 'lifecycle/comes-back',
    mutate: (plugin) => mutateDriver(plugin, (driver: IommuDriver) => void (driver.release = () => {})),
  },
  {
    id: 'driver/guest-invalidation-does-nothing',
    breaks: "a guest's invalidation is counted and not carried out",
    by: 'nested/invalidate-page',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateGuests(plugin, (target) => {
        target.invalidate = ({ entryCount }) => ({ done: entryCount, error: null });
      }),
  },
  {
    id: 'driver/guest-invalidation-of-one-entry',
    breaks: "only the first of a guest's commands is carried out",
    by: 'native-invalidation/counts',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateGuests(plugin, (target) => {
        const invalidate = target.invalidate.bind(target);
        target.invalidate = (request) => {
          const { error } = invalidate(firstOf(request));
          return { done: request.entryCount, error };
        };
      }),
  },
  {
    id: 'driver/guest-errors-swallowed',
    breaks: "a guest's bad command is taken for a good one",
    by: 'native-invalidation/bad-entries',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateGuests(plugin, (target) => {
        const invalidate = target.invalidate.bind(target);
        target.invalidate = (request) => {
          try {
            invalidate(request);
          } catch {
            // Swallowed: that is the defect.
          }
          return { done: request.entryCount, error: null };
        };
      }),
  },
  {
    id: 'driver/guest-progress-lost',
    breaks: 'a batch that stops says nothing was done',
    by: 'native-invalidation/stops-at-bad',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateGuests(plugin, (target) => {
        const invalidate = target.invalidate.bind(target);
        target.invalidate = (request) => {
          const { done, error } = invalidate(request);
          return { done: error ? 0 : done, error };
        };
      }),
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
];

function firstOf(request: NativeInvalidation): NativeInvalidation {
  if (request.entryCount === 0) return request;
  return { ...request, entryCount: 1, bytes: request.bytes.subarray(0, request.entryLength) };
}

function mutateProt(plugin: VendorPlugin, change: (prot: number) => number): VendorPlugin {
  return mutateDomains(plugin, (domain) => {
    const map = domain.mapPages.bind(domain);
    domain.mapPages = (iova, pa, pageSize, count, prot) => map(iova, pa, pageSize, count, change(prot));
  });
}

function mutateRegions(plugin: VendorPlugin, keeps: (type: string) => boolean): VendorPlugin {
  return mutateDriver(plugin, (driver) => {
    const regions = driver.reservedRegions.bind(driver);
    driver.reservedRegions = (device) => regions(device).filter(({ type }) => keeps(type));
  });
}
