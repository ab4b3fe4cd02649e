import { ensure, type IovaRange } from '@iommukit/core';
import { allowIovas, ioasAlloc, ioasCopy, ioasMap, ioasMapFile, ioasUnmap, iovaRanges } from '../commands/ioas.ts';
import { changeProcess, option, vfioIoas } from '../commands/options.ts';
import { command } from './command.ts';
import { constructed } from './constructed.ts';
import { openMapFile } from './map-file.ts';
import type { UserProcess } from './process.ts';
import * as S from './structs.ts';
import { fetch, store } from './user-bytes.ts';

const noReserved = (value: number): void => ensure(value === 0, 'EOPNOTSUPP', 'a reserved field is set');

const RANGES_AT_ONCE = 256;

/** User ranges, fetched in blocks; a block that faults is fetched one by one, so that a bad range in front of it counts. */
function* userRanges(user: UserProcess, address: bigint, count: number): Generator<IovaRange> {
  const { size } = S.IOVA_RANGE;
  for (let done = 0; done < count; done += RANGES_AT_ONCE) {
    const block = new Uint8Array(Math.min(RANGES_AT_ONCE, count - done) * size);
    const whole = user.read(address + BigInt(done * size), block);
    for (let at = 0; at < block.length; at += size) {
      const own = whole ? block.subarray(at, at + size) : fetch(user, address + BigInt(done * size + at), size);
      yield S.IOVA_RANGE.decode(own);
    }
  }
}

function writeRanges(user: UserProcess, address: bigint, ranges: readonly IovaRange[]): void {
  const bytes = new Uint8Array(ranges.length * S.IOVA_RANGE.size);
  for (const [i, { start, last }] of ranges.entries()) {
    S.IOVA_RANGE.write(bytes.subarray(i * S.IOVA_RANGE.size), { start, last });
  }
  store(user, address, bytes);
}

export const IOAS_COMMANDS = [
  command('IOMMU_DESTROY', 0x80, S.DESTROY, ({ context, args }) => context.destroy(args.id)),

  command('IOMMU_IOAS_ALLOC', 0x81, S.IOAS_ALLOC, (call) => {
    const ioas = ioasAlloc(call.context, call.args.flags);
    constructed(ioas, () => call.reply({ out_ioas_id: ioas.id }));
  }),

  command('IOMMU_IOAS_ALLOW_IOVAS', 0x82, S.IOAS_ALLOW_IOVAS, ({ context, args, user }) => {
    noReserved(args.__reserved);
    allowIovas(context, args.ioas_id, userRanges(user, args.allowed_iovas, args.num_iovas));
  }),

  command('IOMMU_IOAS_COPY', 0x83, S.IOAS_COPY, ({ context, args, reply }) => {
    const { flags, dst_ioas_id, src_ioas_id, length, dst_iova, src_iova } = args;
    const ids = { dstIoasId: dst_ioas_id, srcIoasId: src_ioas_id };
    reply({ dst_iova: ioasCopy(context, { flags, ...ids, length, dstIova: dst_iova, srcIova: src_iova }) });
  }),

  command('IOMMU_IOAS_IOVA_RANGES', 0x84, S.IOAS_IOVA_RANGES, ({ context, args, user, reply }) => {
    noReserved(args.__reserved);
    const { ranges, alignment } = iovaRanges(context, args.ioas_id);
    writeRanges(user, args.allowed_iovas, ranges.slice(0, args.num_iovas));
    reply({ num_iovas: ranges.length, out_iova_alignment: alignment });
    ensure(ranges.length <= args.num_iovas, 'EMSGSIZE', `there are ${ranges.length} ranges`);
  }),

  command('IOMMU_IOAS_MAP', 0x85, S.IOAS_MAP, ({ context, args, user, reply }) => {
    noReserved(args.__reserved);
    const { flags, ioas_id, user_va, length, iova } = args;
    reply({ iova: ioasMap(context, user, { flags, ioasId: ioas_id, userVa: user_va, length, iova }) });
  }),

  command('IOMMU_IOAS_UNMAP', 0x86, S.IOAS_UNMAP, ({ context, args, reply }) => {
    reply({ length: ioasUnmap(context, args.ioas_id, args.iova, args.length) });
  }),

  command('IOMMU_OPTION', 0x87, S.OPTION, ({ context, args, user, replyField }) => {
    noReserved(args.__reserved);
    const { option_id, op, object_id, val64 } = args;
    const params = { optionId: option_id, op, objectId: object_id, value: val64 };
    replyField('val64', option(context, params, user.privileged));
  }),

  command('IOMMU_VFIO_IOAS', 0x88, S.VFIO_IOAS, ({ context, args, reply }) => {
    noReserved(args.__reserved);
    const id = vfioIoas(context, args.op, args.ioas_id);
    if (id !== null) reply({ ioas_id: id });
  }),

  command('IOMMU_IOAS_MAP_FILE', 0x8f, S.IOAS_MAP_FILE, ({ context, args, user, reply }) => {
    const { flags, ioas_id, fd, start, length, iova } = args;
    const open = () => ({
      source: openMapFile(user, fd, start, length),
      account: user.accountFor(context.accountMode),
    });
    reply({ iova: ioasMapFile(context, open, { flags, ioasId: ioas_id, start, length, iova }) });
  }),

  command('IOMMU_IOAS_CHANGE_PROCESS', 0x92, S.IOAS_CHANGE_PROCESS, ({ context, args, user }) => {
    noReserved(args.__reserved);
    changeProcess(context, (mode) => user.accountFor(mode));
  }),
];
