import type { PagingDomainOps, VendorPlugin } from '@iommukit/core';
import type { ToyDriver } from '../toy/driver/driver.ts';
import type { ToyPagingDomain } from '../toy/driver/paging-domain.ts';
import type { ToyHardware } from '../toy/hardware/hardware.ts';
import { type Mutant, mutateDomains, mutateDriver, mutateDriverPorts, mutateGuests, mutateHardware } from './mutant.ts';

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

const inHardware = (plugin: VendorPlugin, patch: (hardware: ToyHardware) => void): VendorPlugin =>
  mutateHardware(plugin, (hardware) => patch(hardware as ToyHardware));

/** Toys whose insides are wrong: mistakes that cannot be made from outside a vendor. */
export const toyMutants: readonly Mutant[] = [
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
    id: 'toy/ring-does-not-wrap',
    breaks: 'the command ring is written past its end',
    by: 'invalidation/ring-wraps',
    mutate: (toy) =>
      mutateHardware(toy, (hardware) => {
        const { commands } = hardware as ToyHardware;
        const take = commands.take.bind(commands);
        let taken = 0;
        commands.take = (hi, lo) => (++taken > 256 ? true : take(hi, lo));
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
    id: 'toy/interrupt-lost',
    breaks: 'the unit writes events and raises no interrupt',
    by: 'fault/not-present',
    mutate: (toy) => ({
      ...toy,
      createHardware: (ports, config) => toy.createHardware({ ...ports, irq: { event: { pulse: () => {} } } }, config),
    }),
  },
  {
    id: 'toy/cache-without-tags',
    breaks: 'the translation cache does not look at tags',
    by: 'isolation/unmapped-there',
    mutate: (toy) =>
      inHardware(toy, ({ cache }) => {
        const { find, insert } = cache;
        cache.find = (_tag, gtag, frame) => find.call(cache, 1, gtag, frame);
        cache.insert = (_tag, gtag, ...rest) => insert.call(cache, 1, gtag, ...rest);
      }),
  },
  {
    id: 'toy/range-ignored',
    breaks: 'the unit accepts INV_RANGE and does nothing',
    by: 'unmap/no-stale-translation',
    mutate: (toy) => inHardware(toy, ({ cache }) => void (cache.forgetRange = () => {})),
  },
  {
    id: 'toy/range-off-by-one',
    breaks: 'INV_RANGE leaves the first page in the cache',
    by: 'unmap/odd-range',
    mutate: (toy) =>
      inHardware(toy, ({ cache }) => {
        const forget = cache.forgetRange.bind(cache);
        cache.forgetRange = (tag, frame, last) => forget(tag, frame + 1, last);
      }),
  },
  {
    id: 'toy/nested-survives-host-unmap',
    breaks: 'INV_RANGE leaves nested translations alone',
    by: 'nested/host-unmaps',
    mutate: (toy) =>
      inHardware(toy, ({ cache }) => {
        cache.forgetRange = (tag, frame, last) => cache.forgetGuestRange(tag, 0, frame, last);
      }),
  },
  {
    id: 'toy/contexts-stick',
    breaks: 'the unit accepts INV_SLOT and does nothing',
    by: 'attach/detach-blocks',
    mutate: (toy) => inHardware(toy, ({ contexts }) => void (contexts.forgetSlot = () => {})),
  },
  {
    id: 'toy/permissions-add-up',
    breaks: "a guest's page is writable where the host's is",
    by: 'nested/guest-read-only',
    mutate: (toy) =>
      inHardware(toy, ({ walk }) => {
        const nested = walk.nested.bind(walk);
        walk.nested = (...args) => {
          const code = nested(...args);
          if (code === 0) walk.permissions |= 8;
          return code;
        };
      }),
  },
  {
    id: 'toy/guest-escapes',
    breaks: 'guest-physical addresses the host does not map are taken as they are',
    by: 'nested/guest-cannot-leave',
    mutate: (toy) =>
      inHardware(toy, ({ walk }) => {
        const host = walk.host.bind(walk);
        const nested = walk.nested.bind(walk);
        let inside = false;
        walk.nested = (...args) => {
          inside = true;
          try {
            return nested(...args);
          } finally {
            inside = false;
          }
        };
        walk.host = (rootHi, rootLo, hi, lo) => {
          const code = host(rootHi, rootLo, hi, lo);
          if (code === 0 || !inside) return code;
          walk.paHi = hi;
          walk.paLo = lo;
          walk.permissions = 4 | 8;
          walk.pageLg2 = 12;
          return 0;
        };
      }),
  },
  {
    id: 'toy/dirty-once',
    breaks: 'a page is logged the first time only: the cache does not forget that it was',
    by: 'dirty/clears',
    mutate: (toy) =>
      inHardware(toy, ({ cache }) => {
        const seen = new Set<number>();
        const insert = cache.insert.bind(cache);
        cache.insert = (tag, gtag, frame, ...rest) => {
          const at = insert(tag, gtag, frame, ...rest);
          cache.dirty[at] = seen.has(frame) ? 1 : 0;
          seen.add(frame);
          return at;
        };
      }),
  },
  {
    id: 'toy/reads-are-dirty',
    breaks: 'a read makes a page dirty',
    by: 'dirty/writes-only',
    mutate: (toy) =>
      mutateHardware(toy, (hardware) => {
        const translate = hardware.translate.bind(hardware);
        hardware.translate = (request, answer) => {
          if (request.access !== 0) return translate(request, answer);
          request.access = 1;
          translate(request, answer);
          request.access = 0;
        };
      }),
  },
  {
    id: 'toy/event-without-high-address',
    breaks: 'events carry the low half of the address',
    by: 'unmap/past-the-end',
    mutate: (toy) =>
      inHardware(toy, ({ events }) => {
        const describe = events.describe.bind(events);
        events.describe = (code, request, answer) => {
          describe(code, request, answer);
          answer.record[5] = 0;
        };
      }),
  },
  {
    id: 'toy/event-without-pasid',
    breaks: 'events do not say which PASID it was',
    by: 'pasid/fault',
    mutate: (toy) =>
      inHardware(toy, ({ events }) => {
        const describe = events.describe.bind(events);
        events.describe = (code, request, answer) => {
          describe(code, request, answer);
          answer.record[0]! &= 0x3ff;
        };
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
    id: 'toy/context-cache-without-device',
    breaks: 'the context cache does not say whose PASID it holds',
    by: 'pasid/two-devices',
    mutate: (toy) =>
      inHardware(toy, ({ contexts }) => {
        const find = contexts.find.bind(contexts);
        const first = new Map<number, number>();
        contexts.find = (device, pasid) => {
          if (pasid === 0) return find(device, pasid);
          if (!first.has(pasid)) first.set(pasid, device);
          return find(first.get(pasid)!, pasid);
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
];
