import { ensure } from '@iommukit/core';
import { faultQueueAlloc } from '../commands/device.ts';
import { hwQueueAlloc, vdeviceAlloc, veventqAlloc, viommuAlloc } from '../commands/viommu.ts';
import type { FaultQueue } from '../objects/fault-queue.ts';
import type { EventQueue } from '../objects/veventq.ts';
import { command } from './command.ts';
import { constructed } from './constructed.ts';
import type { UserProcess } from './process.ts';
import { StreamFile } from './stream-file.ts';
import * as S from './structs.ts';
import { store, UserData } from './user-bytes.ts';

const O_CLOEXEC = 0x80000;

const noReserved = (value: number): void => ensure(value === 0, 'EOPNOTSUPP', 'a reserved field is set');

/**
 * Hands a new queue to the caller as a descriptor. The structure is written once before the descriptor exists, since that
 * one could not be taken back.
 */
function openQueue(queue: FaultQueue | EventQueue, user: UserProcess, tell: (fd: number) => void): void {
  const file = new StreamFile(queue);
  try {
    tell(0);
    queue.context.injector.use('alloc');
    tell(user.newFile(file, O_CLOEXEC));
  } catch (error) {
    queue.context.table.remove(queue);
    file.close();
    queue.dispose();
    throw error;
  }
}

export const VIOMMU_COMMANDS = [
  command('IOMMU_FAULT_QUEUE_ALLOC', 0x8e, S.FAULT_QUEUE_ALLOC, ({ context, args, user, reply }) => {
    const queue = faultQueueAlloc(context, args.flags);
    openQueue(queue, user, (fd) => reply({ out_fault_id: queue.id, out_fault_fd: fd }));
  }),

  command(
    'IOMMU_VIOMMU_ALLOC',
    0x90,
    S.VIOMMU_ALLOC,
    ({ context, args, user, reply }) => {
      noReserved(args.__reserved);
      const { flags, type, dev_id, hwpt_id, data_len, data_uptr } = args;
      const data = new UserData(user, type, data_uptr, data_len);
      const viommu = viommuAlloc(context, { flags, type, deviceId: dev_id, hwptId: hwpt_id, data });
      constructed(viommu, () => {
        store(user, data_uptr, viommu.replyData.subarray(0, data_len));
        reply({ out_viommu_id: viommu.id });
      });
    },
    'out_viommu_id',
  ),

  command('IOMMU_VDEVICE_ALLOC', 0x91, S.VDEVICE_ALLOC, ({ context, args, reply }) => {
    const { viommu_id, dev_id, virt_id } = args;
    const vdevice = vdeviceAlloc(context, { viommuId: viommu_id, deviceId: dev_id, virtualId: virt_id });
    constructed(vdevice, () => reply({ out_vdevice_id: vdevice.id }));
  }),

  command(
    'IOMMU_VEVENTQ_ALLOC',
    0x93,
    S.VEVENTQ_ALLOC,
    ({ context, args, user, reply }) => {
      noReserved(args.__reserved);
      const { flags, viommu_id, type, veventq_depth } = args;
      const queue = veventqAlloc(context, { flags, viommuId: viommu_id, type, depth: veventq_depth });
      openQueue(queue, user, (fd) => reply({ out_veventq_id: queue.id, out_veventq_fd: fd }));
    },
    'out_veventq_fd',
  ),

  command('IOMMU_HW_QUEUE_ALLOC', 0x94, S.HW_QUEUE_ALLOC, ({ context, args, reply }) => {
    const { flags, viommu_id, type, index, nesting_parent_iova, length } = args;
    const queue = hwQueueAlloc(context, { flags, viommuId: viommu_id, type, index, iova: nesting_parent_iova, length });
    constructed(queue, () => reply({ out_hw_queue_id: queue.id }));
  }),
];
