import { ALLOC, type DomainOps, type IommuDriver, type PagingDomainOps } from '@iommukit/core';
import { type Mutant, mutateDomains, mutateDriver, mutateGuests } from './mutant.ts';

/** Drivers whose faults show where the user API drives them: several domains over one address space, replaces, clears. */
export const iommufdMutants: readonly Mutant[] = [
  {
    id: 'driver/later-domains-stay-empty',
    breaks: 'the second domain over the same memory maps nothing',
    by: 'iommufd/replace',
    mutate: (plugin) =>
      eachDomain(plugin, (domain, nth) => {
        if (nth % 2 === 0) domain.mapPages = (_iova, _pa, _pageSize, count) => ({ mapped: count, error: null });
      }),
  },
  {
    id: 'driver/invalidates-one-domain',
    breaks: 'an unmap is invalidated in the domain made last only',
    by: 'iommufd/copy',
    mutate: (plugin) => {
      const latest = new WeakMap<IommuDriver, PagingDomainOps>();
      return mutateDomains(plugin, (domain, driver) => {
        latest.set(driver, domain);
        const sync = domain.syncUnmap.bind(domain);
        domain.syncUnmap = (gather) => {
          if (latest.get(driver) === domain) sync(gather);
        };
      });
    },
  },
  {
    id: 'driver/replace-passes-the-guest-by',
    breaks: 'a device on a nested domain keeps it when another is attached',
    by: 'iommufd/nested-replace',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const attach = domain.attach.bind(domain);
        domain.attach = (device, old: DomainOps) => {
          if (old.kind !== 'nested') attach(device, old);
        };
      }),
  },
  {
    id: 'driver/ioas-keeps-a-page',
    breaks: 'the last page of an unmap of several stays',
    by: 'iommufd/large',
    unless: ['whole-mappings'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const unmap = domain.unmapPages.bind(domain);
        const page = domain.pageSizes & -domain.pageSizes;
        domain.unmapPages = (iova, size, gather) =>
          size > page ? unmap(iova, size - page, gather) + page : unmap(iova, size, gather);
      }),
  },
  {
    id: 'driver/clears-what-it-keeps',
    breaks: 'reading dirty pages without clearing clears them',
    by: 'iommufd/dirty-bitmap',
    needs: ['dirty-tracking'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const read = domain.readAndClearDirty?.bind(domain);
        if (read) domain.readAndClearDirty = (iova, size, _keep, report) => read(iova, size, false, report);
      }),
  },
  {
    id: 'driver/dirty-start',
    breaks: 'what was dirty before tracking was switched on stays dirty',
    by: 'iommufd/dirty-clean-start',
    needs: ['dirty-tracking'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const read = domain.readAndClearDirty?.bind(domain);
        if (read)
          domain.readAndClearDirty = (iova, size, keep, report) => {
            if (size < 1n << 32n) read(iova, size, keep, report);
          };
      }),
  },
  {
    id: 'driver/forgets-flush-after-dirty',
    breaks: 'cleared dirty bits stay in the caches, so the next write does not show',
    by: 'iommufd/dirty-bitmap',
    needs: ['dirty-tracking'],
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.flushAll = () => {})),
  },
  {
    id: 'driver/counts-the-bad-entry',
    breaks: 'an invalidation that stops counts the entry it stopped at',
    by: 'iommufd/invalidate-progress',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateGuests(plugin, (target) => {
        const invalidate = target.invalidate.bind(target);
        target.invalidate = (request) => {
          const { done, error } = invalidate(request);
          return { done: error ? done + 1 : done, error };
        };
      }),
  },
  {
    id: 'driver/invalidates-all-or-nothing',
    breaks: 'a bad entry undoes the good ones in front of it',
    by: 'iommufd/invalidate-progress',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateGuests(plugin, (target) => {
        const invalidate = target.invalidate.bind(target);
        target.invalidate = (request) => {
          const { entryLength, bytes } = request;
          const [first, rest] = [bytes.subarray(0, entryLength), bytes.subarray(entryLength)];
          if (rest.length === 0) return invalidate(request);
          const error = invalidate({ ...request, entryCount: request.entryCount - 1, bytes: rest }).error;
          return error ? { done: 0, error } : invalidate({ ...request, entryCount: 1, bytes: first });
        };
      }),
  },
  {
    id: 'driver/coherent-in-name',
    breaks: 'the unit cannot enforce coherency, and its driver said it could',
    by: 'iommufd/coherency',
    needs: ['enforce-cache-coherency'],
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.enforceCacheCoherency = () => false)),
  },
  {
    id: 'driver/keeps-the-first-domain-of-a-pasid',
    breaks: 'a PASID that has a domain keeps it',
    by: 'iommufd/pasid',
    needs: ['pasid'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const attach = domain.attachPasid?.bind(domain);
        if (attach)
          domain.attachPasid = (device, pasid, old) => {
            if (old?.kind !== 'paging') attach(device, pasid, old);
          };
      }),
  },
  {
    id: 'driver/parents-are-plain',
    breaks: 'every nesting parent is a plain domain',
    by: 'iommufd/nested',
    needs: ['nest-parent'],
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const alloc = driver.allocPaging.bind(driver);
        driver.allocPaging = (device, flags, data) => alloc(device, flags & ~ALLOC.NEST_PARENT, data);
      }),
  },
];

/** Changes each paging domain of a driver, told which one it is, from 1 on. */
function eachDomain(
  plugin: Parameters<Mutant['mutate']>[0],
  patch: (domain: PagingDomainOps, nth: number) => void,
): ReturnType<Mutant['mutate']> {
  const counts = new WeakMap<IommuDriver, number>();
  return mutateDomains(plugin, (domain, driver) => {
    const nth = (counts.get(driver) ?? 0) + 1;
    counts.set(driver, nth);
    patch(domain, nth);
  });
}
