import { ensure, IommuError, TOP_ADDRESS } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { Ioas } from '../ioas/ioas.ts';
import { HwptPaging } from '../objects/hwpt.ts';
import { userPages } from '../pages/user-pages.ts';
import type { UserProcess } from './process.ts';
import type { Struct, StructFields, StructValues } from './struct.ts';
import { fetch, store } from './user-bytes.ts';
import { getInfo } from './vfio-info.ts';
import * as S from './vfio-structs.ts';

const API_VERSION = 0;
const TYPE1 = 1;
const TYPE1V2 = 3;
const DMA_CC = 4;
const UNMAP_ALL = 9;

/** The type-1 container's calls on an iommufd: they work on the compat IOAS. ENOTTY: none of them. */
export function vfioIoctl(context: IommufdContext, request: number, arg: bigint, user: UserProcess): number {
  const run = CALLS[request];
  if (!run) throw new IommuError('ENOTTY', `no command 0x${request.toString(16)}`);
  return run(context, arg, user);
}

type Call = (context: IommufdContext, arg: bigint, user: UserProcess) => number;

const CALLS: Readonly<Record<number, Call | undefined>> = {
  15204: () => API_VERSION,
  15205: checkExtension,
  15206: setIommu,
  15216: (context, arg, user) => getInfo(() => compatIoas(context), arg, user),
  15217: mapDma,
  15218: unmapDma,
};

function compatIoas({ compatIoas: ioas }: IommufdContext): Ioas {
  ensure(ioas !== null, 'ENODEV', 'no IOAS is set for VFIO');
  return ioas;
}

/** The extension is the argument itself. Nesting (6) and everything unknown is not there: 0. */
function checkExtension(context: IommufdContext, arg: bigint): number {
  const type = Number(arg & 0xffff_ffffn);
  if (type === DMA_CC) return coherent(compatIoas(context)) ? 1 : 0;
  return type === TYPE1 || type === TYPE1V2 || type === UNMAP_ALL ? 1 : 0;
}

/** Every device of the IOAS is held to coherent DMA. Without a domain that is nothing to rely on. */
function coherent({ domains }: Ioas): boolean {
  const all = [...domains].filter((user) => user instanceof HwptPaging);
  return all.every(({ domain }) => domain.enforcesCacheCoherency);
}

/** TYPE1 may cut mappings, hence goes without large entries. Nesting: EINVAL. */
function setIommu(context: IommufdContext, arg: bigint): number {
  const type = Number(arg & 0xffff_ffffn);
  ensure(type === TYPE1 || type === TYPE1V2, 'EINVAL', `no IOMMU of type ${type}`);
  const ioas = compatIoas(context);
  if (type === TYPE1) ioas.setHugePages(false);
  return 0;
}

/** A structure of VFIO's envelope: `argsz` and `flags` first. EFAULT; EINVAL: too short, or unknown flags. */
export function vfioArgs<F extends StructFields>(
  struct: Struct<F>,
  flags: number,
  arg: bigint,
  user: UserProcess,
  min = struct.size,
): StructValues<F> & { argsz: number; flags: number } {
  const bytes = new Uint8Array(struct.size);
  bytes.set(fetch(user, arg, min));
  const args = struct.decode(bytes) as StructValues<F> & { argsz: number; flags: number };
  ensure(args.argsz >= min && (args.flags & ~flags) === 0, 'EINVAL', 'argsz is too small, or a flag is unknown');
  return args;
}

const MAP_READ = 1;
const MAP_WRITE = 2;

function mapDma(context: IommufdContext, arg: bigint, user: UserProcess): number {
  const { flags, vaddr, iova, size } = vfioArgs(S.TYPE1_DMA_MAP, MAP_READ | MAP_WRITE, arg, user);
  const ioas = compatIoas(context);
  ensure(vaddr + size <= TOP_ADDRESS, 'EOVERFLOW', 'the memory wraps');
  ioas.map({
    source: userPages(user, vaddr),
    address: vaddr,
    length: size,
    iova,
    readable: (flags & MAP_READ) !== 0,
    writable: (flags & MAP_WRITE) !== 0,
    account: user.accountFor('process'),
  });
  return 0;
}

const UNMAP_FLAG_ALL = 2;

function unmapDma(context: IommufdContext, arg: bigint, user: UserProcess): number {
  const args = vfioArgs(S.TYPE1_DMA_UNMAP, UNMAP_FLAG_ALL, arg, user);
  const ioas = compatIoas(context);
  const size = (args.flags & UNMAP_FLAG_ALL) !== 0 ? unmapAll(ioas, args) : unmapRange(ioas, args);
  const reply = S.TYPE1_DMA_UNMAP.encode({ ...args, size });
  store(user, arg, reply);
  return 0;
}

function unmapAll(ioas: Ioas, { iova, size }: { iova: bigint; size: bigint }): bigint {
  ensure(iova === 0n && size === 0n, 'EINVAL', 'everything has no range');
  return ioas.unmap(0n, TOP_ADDRESS);
}

/** Nothing there is no error here. */
function unmapRange(ioas: Ioas, { iova, size }: { iova: bigint; size: bigint }): bigint {
  ensure(size > 0n, 'EINVAL', 'empty range');
  ensure(iova + size - 1n <= TOP_ADDRESS, 'EOVERFLOW', 'the range wraps');
  if (!ioas.hugePages) {
    ioas.cut(iova + size - 1n);
    if (iova > 0n) ioas.cut(iova - 1n);
  }
  return ioas.unmap(iova, iova + size - 1n);
}
