import type { VendorPlugin } from '@iommukit/core';
import { EVENT_ENTRIES } from '../toy/format/registers.ts';
import type { ToyHardware } from '../toy/hardware/hardware.ts';
import { type Mutant, mutateHardware } from './mutant.ts';

const inHardware = (plugin: VendorPlugin, patch: (hardware: ToyHardware) => void): VendorPlugin =>
  mutateHardware(plugin, (hardware) => patch(hardware as ToyHardware));

/** Toy hardware that is wrong inside. */
export const toyHardwareMutants: readonly Mutant[] = [
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
    id: 'toy/full-ring-overwritten',
    breaks: 'events that find the ring full are written over the oldest',
    by: 'fault/log-full',
    mutate: (toy) =>
      inHardware(toy, ({ events }) => {
        const write = events.write.bind(events);
        events.write = (hi, lo, _head, tail, record) => write(hi, lo, -1, tail, record);
      }),
  },
  {
    id: 'toy/newest-kept',
    breaks: 'an event that finds the ring full takes the place of the one before it',
    by: 'fault/log-full',
    mutate: (toy) =>
      inHardware(toy, ({ events }) => {
        const write = events.write.bind(events);
        events.write = (hi, lo, head, tail, record) => {
          const next = write(hi, lo, head, tail, record);
          if (next < 0) write(hi, lo, -1, (tail + EVENT_ENTRIES - 1) % EVENT_ENTRIES, record);
          return next;
        };
      }),
  },
  {
    id: 'toy/lost-for-ever',
    breaks: 'after an overflow the unit records nothing any more',
    by: 'fault/after-overflow',
    mutate: (toy) =>
      inHardware(toy, ({ events }) => {
        const write = events.write.bind(events);
        let lost = false;
        events.write = (...args) => {
          const next = lost ? -1 : write(...args);
          lost ||= next < 0;
          return next;
        };
      }),
  },
];
