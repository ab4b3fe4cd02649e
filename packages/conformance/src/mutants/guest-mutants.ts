import type { NativeInvalidation } from '@iommukit/core';
import { type Mutant, mutateGuests } from './mutant.ts';

/** Drivers that take a guest's commands and do not carry them out. */
export const guestMutants: readonly Mutant[] = [
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
];

function firstOf(request: NativeInvalidation): NativeInvalidation {
  if (request.entryCount === 0) return request;
  return { ...request, entryCount: 1, bytes: request.bytes.subarray(0, request.entryLength) };
}
