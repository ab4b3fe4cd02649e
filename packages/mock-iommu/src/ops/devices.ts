import { ensure, TOP_ADDRESS } from '@iommukit/core';
import {
  ADD_RESERVED,
  MEMORY_LIMIT,
  MOCK_DOMAIN,
  MOCK_DOMAIN_REPLACE,
  PASID_ATTACH,
  PASID_CHECK,
  PASID_DETACH,
  TEST_OP,
} from '../abi.ts';
import { MockStdev } from '../stdev.ts';
import { findIoas, findStdev } from './find.ts';
import { operation } from './operation.ts';

/** Whom a reservation made by a test belongs to: nobody, it stays as long as the IOAS. */
const NOBODY = {};
/** The least a batch of pinned pages needs. */
const LEAST_LIMIT = 12;

export const addReserved = operation(ADD_RESERVED, ({ context, args }) => {
  const { start, length } = args;
  ensure(length > 0n, 'EINVAL', 'empty range');
  ensure(start + length - 1n <= TOP_ADDRESS, 'EOVERFLOW', 'the range wraps');
  findIoas(context, args.id).space.reserve(NOBODY, [{ start, last: start + length - 1n }]);
});

/** Both forms; only the later one has flags. */
export const mockDomain = operation(MOCK_DOMAIN, ({ context, iommu, args, reply }) => {
  const flags = args.op === TEST_OP.MOCK_DOMAIN_FLAGS ? args.dev_flags : 0;
  const stdev = MockStdev.create(context, iommu, flags);
  try {
    const out_hwpt_id = stdev.bound.attach(args.id);
    reply({ out_stdev_id: stdev.id, out_hwpt_id, out_idev_id: stdev.bound.id });
  } catch (error) {
    context.destroyObject(stdev);
    throw error;
  }
});

export const mockDomainReplace = operation(MOCK_DOMAIN_REPLACE, ({ context, args, reply }) => {
  reply({ pt_id: findStdev(context, args.id).bound.replace(args.pt_id) });
});

export const pasidAttach = operation(PASID_ATTACH, ({ context, args, reply }) => {
  const { bound } = findStdev(context, args.id);
  const pt_id = bound.attach(args.pt_id, args.pasid);
  try {
    reply({ pt_id });
  } catch (error) {
    bound.detach(args.pasid);
    throw error;
  }
});

/** What a reply that cannot be written leaves replaced stays so: the way back might fail. */
export const pasidReplace = operation(PASID_ATTACH, ({ context, args, reply }) => {
  reply({ pt_id: findStdev(context, args.id).bound.replace(args.pt_id, args.pasid) });
});

export const pasidDetach = operation(PASID_DETACH, ({ context, args }) => {
  findStdev(context, args.id).bound.detach(args.pasid);
});

/** Id 0 asks that nothing is attached. */
export const pasidCheck = operation(PASID_CHECK, ({ context, args }) => {
  const attached = findStdev(context, args.id).bound.owned.hwptOf(args.pasid);
  if (args.hwpt_id === 0) {
    ensure(attached === null, 'EINVAL', 'something is attached');
    return;
  }
  const wanted = context.any(args.hwpt_id);
  const hwpt = wanted.type === 'hwpt-paging' || wanted.type === 'hwpt-nested';
  ensure(hwpt && attached === wanted, 'EINVAL', 'something else is attached');
});

/** A knob for the kernel's batching. There are no batches here. */
export const memoryLimit = operation(MEMORY_LIMIT, ({ args }) => {
  ensure(args.limit >= LEAST_LIMIT, 'EINVAL', `a limit of ${args.limit} bytes holds nothing`);
});
