import type { PagingDomainOps, VendorPlugin } from '@iommukit/core';
import type { ToyDriver } from '../toy/driver/driver.ts';
import type { ToyPagingDomain } from '../toy/driver/paging-domain.ts';
import { type Mutant, mutateDomains, mutateDriver, mutateDriverPorts, mutateGuests } from './mutant.ts';

/** The toy with its parts changed each time the driver has come up. */
const inDriver = (plugin: VendorPlugin, patch: (unit: ToyDriver['unit'], driver: ToyDriver) => void): VendorPlugin =>
  mutateDriver(plugin, (made) => {
    const driver = made as ToyDriver;
    const probe = driver.probe.bind(driver);
    driver.probe = () => {
      probe();
      patch(driver.unit, driver);
    };
  });

const inDomain = (plugin: VendorPlugin, patch: (domain: ToyPagingDomain) => void): VendorPlugin =>
  mutateDomains(plugin, (domain: PagingDomainOps) => patch(domain as ToyPagingDomain));

/** Toy drivers that are wrong inside: mistakes that cannot be made from outside a vendor. */
export const toyDriverMutants: readonly Mutant[] = [
  {
    id: 'toy/does-not-wait',
    breaks: 'the driver rings the doorbell and goes on',
    by: 'unmap/no-stale-translation',
    mutate: (toy) => inDriver(toy, ({ commands }) => void (commands.wait = () => {})),
  },
  {
    id: 'toy/forgets-range',
    breaks: 'the driver sends no INV_RANGE',
    by: 'unmap/no-stale-translation',
    mutate: (toy) => inDriver(toy, ({ commands }) => void (commands.invalidateRange = () => {})),
  },
  {
    id: 'toy/range-too-short',
    breaks: 'INV_RANGE leaves out the last page',
    by: 'unmap/range-512',
    mutate: (toy) =>
      inDriver(toy, ({ commands }) => {
        const invalidate = commands.invalidateRange.bind(commands);
        commands.invalidateRange = (tag, start, last) => {
          if (last - start >= 0x1000n) invalidate(tag, start, last - 0x1000n);
        };
      }),
  },
  {
    id: 'toy/wrong-tag',
    breaks: "INV_RANGE names another domain's tag",
    by: 'unmap/no-stale-translation',
    mutate: (toy) =>
      inDriver(toy, ({ commands }) => {
        const invalidate = commands.invalidateRange.bind(commands);
        commands.invalidateRange = (tag, start, last) => invalidate(tag + 1, start, last);
      }),
  },
  {
    id: 'toy/forgets-slot',
    breaks: 'the driver sends no INV_SLOT after it changed a slot',
    by: 'attach/after-blocked-dma',
    mutate: (toy) => inDriver(toy, ({ commands }) => void (commands.invalidateSlot = () => {})),
  },
  {
    id: 'toy/slot-of-pasid-zero',
    breaks: 'INV_SLOT always names requests without PASID',
    by: 'pasid/replace',
    mutate: (toy) =>
      inDriver(toy, ({ commands }) => {
        const invalidate = commands.invalidateSlot.bind(commands);
        commands.invalidateSlot = (device) => invalidate(device, 0);
      }),
  },
  {
    id: 'toy/tags-come-back-dirty',
    breaks: 'a freed tag is given out without an invalidation',
    by: 'attach/tag-reuse',
    mutate: (toy) => inDriver(toy, ({ commands }) => void (commands.invalidateTag = () => {})),
  },
  {
    id: 'toy/invalidates-too-early',
    breaks: 'the driver invalidates before it clears the entries',
    by: 'unmap/not-rewarmed',
    mutate: (toy) =>
      inDomain(toy, (domain) => {
        const { commands, ports } = domain.unit;
        domain.unmapPages = (iova, size, gather) => {
          commands.invalidateRange(domain.tag, iova, iova + size - 1n);
          return domain.table.unmap(iova, size, gather);
        };
        domain.syncUnmap = ({ freed }) => {
          for (const pa of freed.splice(0)) ports.pages.free(pa);
        };
      }),
  },
  {
    id: 'toy/leaks-tables',
    breaks: 'empty table pages are never given back',
    by: 'unmap/tables-come-back',
    mutate: (toy) =>
      inDomain(toy, (domain) => {
        const sync = domain.syncUnmap.bind(domain);
        domain.syncUnmap = (gather) => sync({ ...gather, freed: [] });
      }),
  },
  {
    id: 'toy/leaks-on-failure',
    breaks: 'a domain that cannot be made keeps what it had taken',
    by: 'failure/alloc-domain',
    mutate: (toy) => {
      let making = false;
      const deaf = mutateDriverPorts(toy, (ports) => ({
        ...ports,
        pages: {
          alloc: (bytes, align) => ports.pages.alloc(bytes, align),
          free: (pa) => {
            if (!making) ports.pages.free(pa);
          },
        },
      }));
      return mutateDriver(deaf, (driver) => {
        const alloc = driver.allocPaging.bind(driver);
        driver.allocPaging = (...args) => {
          making = true;
          try {
            return alloc(...args);
          } finally {
            making = false;
          }
        };
      });
    },
  },
  {
    id: 'toy/small-pages-only',
    breaks: 'a large page is mapped as many small ones',
    by: 'page-sizes/each-size',
    mutate: (toy) =>
      inDomain(toy, (domain) => {
        domain.mapPages = (iova, pa, pageSize, count, prot) => {
          const pages = (Number(pageSize) / 0x1000) * count;
          const { error } = domain.table.map(iova, pa, 12, pages, prot);
          return { mapped: error ? 0 : count, error };
        };
      }),
  },
  {
    id: 'toy/coherency-not-checked',
    breaks: 'a device that cannot be held to coherency joins a domain that is',
    by: 'information/coherency-of-all',
    mutate: (toy) =>
      inDomain(toy, (domain) => {
        domain.enforceCacheCoherency = () => true;
      }),
  },
  {
    id: 'toy/guest-tags-come-back-dirty',
    breaks: "a freed guest's tag is given out without an invalidation",
    by: 'nested/identity-restored',
    mutate: (toy) => inDriver(toy, ({ commands }) => void (commands.invalidateGuest = () => {})),
  },
  {
    id: 'toy/guest-page-wrong',
    breaks: "a guest's page invalidation names the page beside",
    by: 'nested/invalidate-page',
    mutate: (toy) =>
      inDriver(toy, ({ commands }) => {
        const invalidate = commands.invalidateGuestRange.bind(commands);
        commands.invalidateGuestRange = (tag, gtag, start, count) => invalidate(tag, gtag, start + 0x1000n, count);
      }),
  },
  {
    id: 'toy/events-not-acknowledged',
    breaks: 'the driver never says how far it read the event ring',
    by: 'fault/flood',
    mutate: (toy) =>
      mutateDriverPorts(toy, (ports) => {
        const { mmio } = ports;
        const deaf = Object.create(mmio) as typeof mmio;
        deaf.read32 = (offset) => mmio.read32(offset);
        deaf.read64 = (offset) => mmio.read64(offset);
        deaf.write64 = (offset, value) => mmio.write64(offset, value);
        deaf.write32 = (offset, value) => {
          if (offset !== 0x30) mmio.write32(offset, value);
        };
        return { ...ports, mmio: deaf };
      }),
  },
  {
    id: 'toy/unplugged-stays',
    breaks: 'a device that goes keeps its entry and its domain',
    by: 'lifecycle/unplug-forgets',
    mutate: (toy) =>
      inDriver(toy, ({ devices }, driver) => {
        devices.remove = () => {};
        driver.blocked.attach = () => {};
      }),
  },
  {
    id: 'toy/frees-too-early',
    breaks: 'table pages are given back before the invalidation',
    by: 'unmap/freed-after-invalidation',
    mutate: (toy) =>
      inDomain(toy, (domain) => {
        const sync = domain.syncUnmap.bind(domain);
        domain.syncUnmap = (gather) => {
          for (const pa of gather.freed.splice(0)) domain.unit.ports.pages.free(pa);
          sync(gather);
        };
      }),
  },
  {
    id: 'toy/long-batch-cut',
    breaks: "a guest's batch is carried out up to its 128th entry",
    by: 'native-invalidation/long-batch',
    mutate: (toy) =>
      mutateGuests(toy, (target) => {
        const invalidate = target.invalidate.bind(target);
        target.invalidate = (request) => {
          const { entryCount, entryLength, bytes } = request;
          const kept = Math.min(entryCount, 128);
          const { error } = invalidate({ ...request, entryCount: kept, bytes: bytes.subarray(0, kept * entryLength) });
          return { done: entryCount, error };
        };
      }),
  },
  {
    id: 'toy/reports-in-the-middle',
    breaks: 'a fault is reported while an operation still has commands to send',
    by: 'fault/outside-operations',
    mutate: (toy) => inDriver(toy, ({ gate }) => void (gate.run = (operation) => operation())),
  },
  {
    id: 'toy/reports-at-once',
    breaks: 'a fault is reported when its interrupt comes, in the middle of whatever is under way',
    by: 'fault/operation-is-over',
    mutate: (toy) => inDriver(toy, ({ gate }) => void (gate.run = (operation) => operation())),
  },
];
