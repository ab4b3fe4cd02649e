import { ensure, IommuError, TOP_ADDRESS } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import { Ioas } from '../ioas/ioas.ts';
import type { IoptPages } from '../pages/pages.ts';
import type { AccountMode, PinAccount } from '../pages/source.ts';
import { getIoas } from './ioas.ts';

/** IOMMU_OPTION operations and options. */
export const OPTION_OP = { SET: 0, GET: 1 } as const;
export const OPTION = { RLIMIT_MODE: 0, HUGE_PAGES: 1 } as const;
/** IOMMU_VFIO_IOAS operations; SET and GET are the other way round than in {@link OPTION_OP}. */
export const VFIO_IOAS_OP = { GET: 0, SET: 1, CLEAR: 2 } as const;

const MODES: readonly AccountMode[] = ['user', 'process'];

export interface OptionParams {
  readonly optionId: number;
  readonly op: number;
  /** An IOAS for HUGE_PAGES, 0 for RLIMIT_MODE. */
  readonly objectId: number;
  readonly value: bigint;
}

/** IOMMU_OPTION. Returns the value to report: what GET found, what SET was given. */
export function option(context: IommufdContext, params: OptionParams, privileged: boolean): bigint {
  if (params.optionId === OPTION.RLIMIT_MODE) return rlimitMode(context, params, privileged);
  ensure(params.optionId === OPTION.HUGE_PAGES, 'EOPNOTSUPP', `no option ${params.optionId}`);
  return hugePages(context, params);
}

function rlimitMode(context: IommufdContext, { op, objectId, value }: OptionParams, privileged: boolean): bigint {
  ensure(objectId === 0, 'EOPNOTSUPP', 'the option belongs to the whole file');
  if (op === OPTION_OP.GET) return BigInt(MODES.indexOf(context.accountMode));
  ensure(op === OPTION_OP.SET, 'EOPNOTSUPP', `no operation ${op}`);
  ensure(privileged, 'EPERM', 'only a privileged process chooses who pays');
  ensure(context.table.size === 0, 'EBUSY', 'objects exist');
  const mode = value < 2n ? MODES[Number(value)] : undefined;
  ensure(mode !== undefined, 'EINVAL', `no mode ${value}`);
  context.accountMode = mode;
  return value;
}

function hugePages(context: IommufdContext, { op, objectId, value }: OptionParams): bigint {
  const ioas = getIoas(context, objectId);
  if (op === OPTION_OP.GET) return ioas.hugePages ? 1n : 0n;
  ensure(op === OPTION_OP.SET, 'EOPNOTSUPP', `no operation ${op}`);
  ensure(value < 2n, 'EINVAL', 'large entries are on or off');
  ioas.setHugePages(value === 1n);
  return value;
}

/** IOMMU_VFIO_IOAS. Returns an id for GET, null for the others. ENODEV: none is set; ENOENT: no such IOAS. */
export function vfioIoas(context: IommufdContext, op: number, ioasId: number): number | null {
  switch (op) {
    case VFIO_IOAS_OP.GET:
      ensure(context.compatIoas !== null, 'ENODEV', 'no IOAS is set');
      return context.compatIoas.id;
    case VFIO_IOAS_OP.SET:
      context.compatIoas = getIoas(context, ioasId);
      return null;
    case VFIO_IOAS_OP.CLEAR:
      context.compatIoas = null;
      return null;
    default:
      throw new IommuError('EOPNOTSUPP', `no operation ${op}`);
  }
}

/** What VFIO does when a container is made from the file: an IOAS, unless one is selected. Returns its id. */
export function compatIoasCreate(context: IommufdContext): number {
  context.compatIoas ??= context.publish(new Ioas(context));
  return context.compatIoas.id;
}

/**
 * IOMMU_IOAS_CHANGE_PROCESS: the caller pays for what is mapped from now on. EINVAL: something is mapped that is no
 * memory file; ENOMEM: the new owner's limit. All or nothing.
 */
export function changeProcess(context: IommufdContext, accountFor: (mode: AccountMode) => PinAccount): void {
  const pages = new Set<IoptPages>();
  for (const object of context.table.objects) {
    if (!(object instanceof Ioas)) continue;
    for (const area of object.space.areas.within(0n, TOP_ADDRESS)) {
      ensure(area.pages.source.kind === 'file', 'EINVAL', 'something else than a memory file is mapped');
      pages.add(area.pages);
    }
  }
  const moved: { pages: IoptPages; old: PinAccount }[] = [];
  try {
    for (const each of pages) {
      context.injector.use('alloc');
      moved.push({ pages: each, old: each.moveTo(accountFor(each.account.mode)) });
    }
  } catch (error) {
    for (const { pages: each, old } of moved) each.moveTo(old);
    throw error;
  }
}
