import { isIommuError, PROT, type VendorPlugin } from '@iommukit/core';
import { type Mutant, mutateDomains } from './mutant.ts';

const PAGE = 0x1000n;

const granuleOf = (sizes: bigint): bigint => sizes & -sizes;

/** Drivers whose mappings are wrong. */
export const mappingMutants: readonly Mutant[] = [
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
    narrows: true,
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
];

function mutateProt(plugin: VendorPlugin, change: (prot: number) => number): VendorPlugin {
  return mutateDomains(plugin, (domain) => {
    const map = domain.mapPages.bind(domain);
    domain.mapPages = (iova, pa, pageSize, count, prot) => map(iova, pa, pageSize, count, change(prot));
  });
}
