import { ensure, type InvalidationResult, IommuError } from '@iommukit/core';
import { getHwInfo } from '../commands/device.ts';
import { getDirtyBitmap, hwptAlloc, hwptInvalidate, setDirtyTracking } from '../commands/hwpt.ts';
import { type CommandCall, command } from './command.ts';
import { constructed } from './constructed.ts';
import { UserBitmap } from './dirty-bitmap.ts';
import { invalidationArray } from './invalidation-array.ts';
import * as S from './structs.ts';
import { clear, store, UserData } from './user-bytes.ts';

const noReserved = (...values: number[]): void =>
  ensure(
    values.every((value) => value === 0),
    'EOPNOTSUPP',
    'a reserved field is set',
  );

export const HWPT_COMMANDS = [
  command(
    'IOMMU_HWPT_ALLOC',
    0x89,
    S.HWPT_ALLOC,
    ({ context, args, user, reply }) => {
      noReserved(args.__reserved, args.__reserved2);
      const { flags, dev_id, pt_id, fault_id } = args;
      const data = new UserData(user, args.data_type, args.data_uptr, args.data_len);
      const hwpt = hwptAlloc(context, { flags, deviceId: dev_id, ptId: pt_id, data, faultId: fault_id });
      constructed(hwpt, () => reply({ out_hwpt_id: hwpt.id }));
    },
    '__reserved',
  ),

  command(
    'IOMMU_GET_HW_INFO',
    0x8a,
    S.GET_HW_INFO,
    ({ context, args, user, reply }) => {
      noReserved(args.__reserved0, args.__reserved1, args.__reserved2);
      const info = getHwInfo(context, args.dev_id, args.flags, args.out_data_type);
      const shown = info.bytes.subarray(0, args.data_len);
      store(user, args.data_uptr, shown);
      clear(user, args.data_uptr + BigInt(shown.length), args.data_len - shown.length);
      reply({
        data_len: info.bytes.length,
        out_data_type: info.type,
        out_max_pasid_log2: info.maxPasidLog2,
        out_capabilities: info.capabilities,
      });
    },
    '__reserved2',
  ),

  command('IOMMU_HWPT_SET_DIRTY_TRACKING', 0x8b, S.HWPT_SET_DIRTY_TRACKING, ({ context, args }) => {
    noReserved(args.__reserved);
    setDirtyTracking(context, args.hwpt_id, args.flags);
  }),

  command('IOMMU_HWPT_GET_DIRTY_BITMAP', 0x8c, S.HWPT_GET_DIRTY_BITMAP, ({ context, args, user }) => {
    noReserved(args.__reserved);
    const { hwpt_id, flags, iova, length, page_size, data } = args;
    const target = new UserBitmap(user, data);
    getDirtyBitmap(context, { hwptId: hwpt_id, flags, iova, length, pageSize: page_size, target });
  }),

  command('IOMMU_HWPT_INVALIDATE', 0x8d, S.HWPT_INVALIDATE, (call) => {
    const { done, error } = invalidate(call);
    call.reply({ entry_num: done });
    if (error) throw error;
  }),
];

function invalidate({ context, args, user }: CommandCall<typeof S.HWPT_INVALIDATE.fields>): InvalidationResult {
  const { hwpt_id, data_uptr, data_type, entry_len, entry_num } = args;
  if (args.__reserved !== 0) return { done: 0, error: new IommuError('EOPNOTSUPP', 'a reserved field is set') };
  const array = { address: data_uptr, type: data_type, entryLength: entry_len, entryCount: entry_num };
  return hwptInvalidate(context, hwpt_id, invalidationArray(user, array));
}
