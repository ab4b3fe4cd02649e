import { describe, expect, test } from 'vitest';
import { type Struct, type StructFields, uapi } from '../src/index.ts';
import { Bench, NOTHING_LEFT } from './support/bench.ts';
import { FAKE, type FakeOptions } from './support/fake-driver.ts';

/** Everything a case may need, made once per case: ids are what the constructor of the set-up got. */
class Setup extends Bench {
  readonly ioas = this.ok(uapi.IOAS_ALLOC, {}).out_ioas_id;
  readonly dev = this.bound.id;
  readonly va = this.process.alloc(1 << 22);

  paging(flags = 0, ioas = this.ioas): number {
    return this.ok(uapi.HWPT_ALLOC, { flags, dev_id: this.dev, pt_id: ioas }).out_hwpt_id;
  }
  nested(parent: number): number {
    return this.ok(uapi.HWPT_ALLOC, { dev_id: this.dev, pt_id: parent, ...this.data() }).out_hwpt_id;
  }
  viommu(hwpt = this.paging(1)): number {
    return this.ok(uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: this.dev, hwpt_id: hwpt }).out_viommu_id;
  }
  map(iova: bigint, length: bigint, flags = 7, ioas = this.ioas): void {
    this.ok(uapi.IOAS_MAP, { ioas_id: ioas, flags, user_va: this.va, length, iova });
  }
  /** Eight bytes of vendor data at the end of the scratch pages. */
  data() {
    return { data_type: FAKE.HWPT_DATA, data_len: 8, data_uptr: this.scratch + 0x8000n };
  }
}

type Case = [title: string, errno: string, make: (s: Setup) => [Struct<StructFields>, object], options?: FakeOptions];

/** First this, then that. */
const after = (_done: unknown, next: ReturnType<Case[2]>): ReturnType<Case[2]> => next;

const TOP = 2n ** 64n - 1n;
const NONE = 77;

/** In each list a later case fails a later check; a case with two mistakes shows which check comes first. */
const LISTS: Record<string, Case[]> = {
  DESTROY: [
    ['absent', 'ENOENT', () => [uapi.DESTROY, { id: NONE }]],
    ['id 0', 'ENOENT', () => [uapi.DESTROY, { id: 0 }]],
    ['a device is never free', 'EBUSY', (s) => [uapi.DESTROY, { id: s.dev }]],
    ['an IOAS with an HWPT', 'EBUSY', (s) => after(s.paging(), [uapi.DESTROY, { id: s.ioas }])],
    [
      'a parent with a nested HWPT',
      'EBUSY',
      (s) => {
        const parent = s.paging(1);
        s.nested(parent);
        return [uapi.DESTROY, { id: parent }];
      },
    ],
    [
      'a parent with a vIOMMU',
      'EBUSY',
      (s) => {
        const parent = s.paging(1);
        s.viommu(parent);
        return [uapi.DESTROY, { id: parent }];
      },
    ],
    [
      'a vIOMMU with a vDEVICE',
      'EBUSY',
      (s) => {
        const id = s.viommu();
        s.ok(uapi.VDEVICE_ALLOC, { viommu_id: id, dev_id: s.dev, virt_id: 1n });
        return [uapi.DESTROY, { id }];
      },
    ],
    [
      'a fault queue whose file is open',
      'EBUSY',
      (s) => [uapi.DESTROY, { id: s.ok(uapi.FAULT_QUEUE_ALLOC, {}).out_fault_id }],
    ],
    ['an IOAS with mappings alone', 'OK', (s) => after(s.map(0x1000n, 0x1000n), [uapi.DESTROY, { id: s.ioas }])],
  ],
  IOAS_ALLOC: [['flags', 'EOPNOTSUPP', () => [uapi.IOAS_ALLOC, { flags: 1 }]]],
  IOAS_IOVA_RANGES: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.IOAS_IOVA_RANGES, { ioas_id: NONE, __reserved: 1 }]],
    ['no IOAS', 'ENOENT', () => [uapi.IOAS_IOVA_RANGES, { ioas_id: NONE }]],
    ['wrong type', 'ENOENT', (s) => [uapi.IOAS_IOVA_RANGES, { ioas_id: s.dev }]],
    ['no room', 'EMSGSIZE', (s) => [uapi.IOAS_IOVA_RANGES, { ioas_id: s.ioas }]],
    ['bad pointer', 'EFAULT', (s) => [uapi.IOAS_IOVA_RANGES, { ioas_id: s.ioas, num_iovas: 1, allowed_iovas: 8n }]],
  ],
  IOAS_ALLOW_IOVAS: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.IOAS_ALLOW_IOVAS, { ioas_id: NONE, __reserved: 1 }]],
    ['no IOAS', 'ENOENT', () => [uapi.IOAS_ALLOW_IOVAS, { ioas_id: NONE }]],
    ['unreadable', 'EFAULT', (s) => [uapi.IOAS_ALLOW_IOVAS, { ioas_id: s.ioas, num_iovas: 1, allowed_iovas: 8n }]],
    ['one byte', 'EINVAL', (s) => [uapi.IOAS_ALLOW_IOVAS, ranges(s, [[5n, 5n]])]],
    ['upside down', 'EINVAL', (s) => [uapi.IOAS_ALLOW_IOVAS, ranges(s, [[5n, 4n]])]],
    [
      'overlap',
      'EINVAL',
      (s) => [
        uapi.IOAS_ALLOW_IOVAS,
        ranges(s, [
          [0n, 9n],
          [9n, 12n],
        ]),
      ],
    ],
    [
      'overlap in front of what cannot be read',
      'EINVAL',
      (s) => {
        const list = ranges(
          s,
          [
            [0n, 9n],
            [9n, 12n],
          ],
          s.scratch + 65536n - 32n,
        );
        return [uapi.IOAS_ALLOW_IOVAS, { ...list, num_iovas: 3 }];
      },
    ],
    ['reserved range', 'EADDRINUSE', (s) => after(s.paging(), [uapi.IOAS_ALLOW_IOVAS, ranges(s, [[0n, TOP]])])],
    [
      'fine',
      'OK',
      (s) => [
        uapi.IOAS_ALLOW_IOVAS,
        ranges(s, [
          [0n, 9n],
          [10n, 12n],
        ]),
      ],
    ],
  ],
  IOAS_MAP: [
    ['flags before all', 'EOPNOTSUPP', () => [uapi.IOAS_MAP, { flags: 8, iova: TOP, ioas_id: NONE }]],
    ['reserved', 'EOPNOTSUPP', () => [uapi.IOAS_MAP, { __reserved: 1, iova: TOP, ioas_id: NONE }]],
    ['iova at the top', 'EOVERFLOW', () => [uapi.IOAS_MAP, { iova: TOP, ioas_id: NONE }]],
    [
      'iova at the top, placed automatically',
      'EOVERFLOW',
      (s) => [uapi.IOAS_MAP, { flags: 6, iova: TOP, ioas_id: s.ioas, length: 1n }],
    ],
    ['length at the top', 'EOVERFLOW', () => [uapi.IOAS_MAP, { length: TOP, ioas_id: NONE }]],
    ['neither readable nor writeable', 'EINVAL', () => [uapi.IOAS_MAP, { flags: 1, ioas_id: NONE }]],
    ['no IOAS', 'ENOENT', () => [uapi.IOAS_MAP, { flags: 7, ioas_id: NONE, user_va: TOP, length: 4096n }]],
    ['memory wraps', 'EOVERFLOW', (s) => [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: TOP, length: 4096n }]],
    ['empty', 'EINVAL', (s) => [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: s.va }]],
    [
      'misaligned length',
      'EINVAL',
      (s) => after(s.paging(), [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: s.va, length: 5n }]),
    ],
    [
      'misaligned iova',
      'EINVAL',
      (s) => after(s.paging(), [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: s.va, length: 4096n, iova: 5n }]),
    ],
    [
      'reserved wins over existing',
      'EINVAL',
      (s) => {
        s.paging();
        const last = 2n ** 48n - 4096n;
        s.map(last, 4096n);
        return [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: s.va, length: 8192n, iova: last }];
      },
    ],
    [
      'existing',
      'EEXIST',
      (s) =>
        after(s.map(0x1000n, 0x1000n), [
          uapi.IOAS_MAP,
          { flags: 7, ioas_id: s.ioas, user_va: s.va, length: 8192n, iova: 0n },
        ]),
    ],
    [
      'misaligned memory',
      'EINVAL',
      (s) =>
        after(s.paging(), [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: s.va + 5n, length: 4096n, iova: 0n }]),
    ],
    [
      'bad pointer, no domain',
      'OK',
      (s) => [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: 0x8000_0000n, length: 4096n, iova: 0n }],
    ],
    [
      'bad pointer, a domain',
      'EFAULT',
      (s) =>
        after(s.paging(), [
          uapi.IOAS_MAP,
          { flags: 7, ioas_id: s.ioas, user_va: 0x8000_0000n, length: 4096n, iova: 0n },
        ]),
    ],
    [
      'limit',
      'ENOMEM',
      (s) => {
        s.paging();
        s.process.accounts.user.limit = 1n;
        return [uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: s.va, length: 8192n, iova: 0n }];
      },
    ],
    [
      'no hole',
      'ENOSPC',
      (s) =>
        after(
          [s.ok(uapi.IOAS_ALLOW_IOVAS, ranges(s, [[0x1000n, 0x1fffn]])), s.map(0x1000n, 0x1000n)],
          [uapi.IOAS_MAP, { flags: 6, ioas_id: s.ioas, user_va: s.va, length: 4096n }],
        ),
    ],
  ],
  IOAS_MAP_FILE: [
    ['flags', 'EOPNOTSUPP', () => [uapi.IOAS_MAP_FILE, { flags: 8, ioas_id: NONE }]],
    ['no IOAS', 'ENOENT', () => [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: NONE, fd: 99 }]],
    ['empty', 'EINVAL', (s) => [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: s.ioas, fd: 99 }]],
    [
      'wraps',
      'EOVERFLOW',
      (s) => [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: s.ioas, fd: 99, start: TOP, length: 4096n }],
    ],
    ['not open', 'EBADF', (s) => [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: s.ioas, fd: 99, length: 4096n }]],
    ['negative', 'EBADF', (s) => [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: s.ioas, fd: -1, length: 4096n }]],
    [
      'no memory file, no domain',
      'OK',
      (s) => [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: s.ioas, fd: s.process.open(null), length: 4096n }],
    ],
    [
      'no memory file, a domain',
      'EINVAL',
      (s) =>
        after(s.paging(), [uapi.IOAS_MAP_FILE, { flags: 7, ioas_id: s.ioas, fd: s.process.open(null), length: 4096n }]),
    ],
    [
      'past the end, a domain',
      'EINVAL',
      (s) =>
        after(s.paging(), [
          uapi.IOAS_MAP_FILE,
          { flags: 7, ioas_id: s.ioas, fd: s.process.memfd(4096n).fd, length: 8192n },
        ]),
    ],
    [
      'a file of ours that is no dma-buf',
      'EINVAL',
      (s) =>
        after(s.paging(), [
          uapi.IOAS_MAP_FILE,
          { flags: 7, ioas_id: s.ioas, fd: s.process.open(s.file), length: 4096n },
        ]),
    ],
  ],
  IOAS_COPY: [
    ['flags', 'EOPNOTSUPP', () => [uapi.IOAS_COPY, { flags: 8, length: TOP }]],
    ['length', 'EOVERFLOW', () => [uapi.IOAS_COPY, { length: TOP }]],
    ['source', 'EOVERFLOW', () => [uapi.IOAS_COPY, { src_iova: TOP }]],
    ['target', 'EOVERFLOW', () => [uapi.IOAS_COPY, { dst_iova: TOP }]],
    ['no access', 'EINVAL', () => [uapi.IOAS_COPY, { flags: 1, src_ioas_id: NONE }]],
    ['no source', 'ENOENT', () => [uapi.IOAS_COPY, { flags: 7, src_ioas_id: NONE, dst_ioas_id: NONE }]],
    ['empty', 'EINVAL', (s) => [uapi.IOAS_COPY, { flags: 7, src_ioas_id: s.ioas, dst_ioas_id: NONE }]],
    ['wraps', 'EOVERFLOW', (s) => [uapi.IOAS_COPY, { flags: 7, src_ioas_id: s.ioas, length: TOP - 1n, src_iova: 3n }]],
    [
      'not mapped',
      'ENOENT',
      (s) => [uapi.IOAS_COPY, { flags: 7, src_ioas_id: s.ioas, dst_ioas_id: s.ioas, length: 1n }],
    ],
    [
      'no target',
      'ENOENT',
      (s) =>
        after(s.map(0x1000n, 0x1000n), [
          uapi.IOAS_COPY,
          { flags: 7, src_ioas_id: s.ioas, dst_ioas_id: NONE, length: 1n, src_iova: 0x1000n },
        ]),
    ],
    [
      'target mapped',
      'EEXIST',
      (s) =>
        after(s.map(0x1000n, 0x1000n), [
          uapi.IOAS_COPY,
          { flags: 7, src_ioas_id: s.ioas, dst_ioas_id: s.ioas, length: 1n, src_iova: 0x1000n, dst_iova: 0x1001n },
        ]),
    ],
    [
      'read-only memory',
      'EPERM',
      (s) =>
        after(s.map(0x1000n, 0x1000n, 5), [
          uapi.IOAS_COPY,
          { flags: 7, src_ioas_id: s.ioas, dst_ioas_id: s.ioas, length: 4096n, src_iova: 0x1000n, dst_iova: 0x3000n },
        ]),
    ],
  ],
  IOAS_UNMAP: [
    ['no IOAS', 'ENOENT', () => [uapi.IOAS_UNMAP, { ioas_id: NONE, iova: TOP }]],
    ['iova', 'EOVERFLOW', (s) => [uapi.IOAS_UNMAP, { ioas_id: s.ioas, iova: TOP }]],
    ['length', 'EOVERFLOW', (s) => [uapi.IOAS_UNMAP, { ioas_id: s.ioas, iova: 1n, length: TOP }]],
    ['empty', 'EINVAL', (s) => [uapi.IOAS_UNMAP, { ioas_id: s.ioas }]],
    ['wraps', 'EOVERFLOW', (s) => [uapi.IOAS_UNMAP, { ioas_id: s.ioas, iova: 9n, length: TOP - 1n }]],
    ['nothing there', 'ENOENT', (s) => [uapi.IOAS_UNMAP, { ioas_id: s.ioas, iova: 0n, length: 1n }]],
    [
      'sticks out',
      'ENOENT',
      (s) => after(s.map(0x1000n, 0x2000n), [uapi.IOAS_UNMAP, { ioas_id: s.ioas, iova: 0x1000n, length: 0x1000n }]),
    ],
    ['everything of nothing', 'OK', (s) => [uapi.IOAS_UNMAP, { ioas_id: s.ioas, length: TOP }]],
    [
      'a queue lives there',
      'EBUSY',
      (s) => {
        s.map(0n, 0x4000n);
        const viommu_id = s.viommu();
        s.ok(uapi.HW_QUEUE_ALLOC, { viommu_id, type: FAKE.QUEUE, nesting_parent_iova: 8n, length: 64n });
        return [uapi.IOAS_UNMAP, { ioas_id: s.ioas, length: TOP }];
      },
    ],
  ],
  OPTION: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.OPTION, { option_id: 0, op: 1, __reserved: 1 }]],
    ['unknown', 'EOPNOTSUPP', () => [uapi.OPTION, { option_id: 2, op: 1 }]],
    ['global with an object', 'EOPNOTSUPP', () => [uapi.OPTION, { option_id: 0, op: 1, object_id: 1 }]],
    ['unknown operation, global', 'EOPNOTSUPP', () => [uapi.OPTION, { option_id: 0, op: 2 }]],
    [
      'no right',
      'EPERM',
      (s) => {
        s.process.privileged = false;
        return [uapi.OPTION, { option_id: 0, op: 0, val64: 9n }];
      },
    ],
    ['objects exist', 'EBUSY', () => [uapi.OPTION, { option_id: 0, op: 0, val64: 9n }]],
    ['no IOAS', 'ENOENT', () => [uapi.OPTION, { option_id: 1, op: 7, object_id: NONE }]],
    ['unknown operation', 'EOPNOTSUPP', (s) => [uapi.OPTION, { option_id: 1, op: 2, object_id: s.ioas }]],
    ['value', 'EINVAL', (s) => [uapi.OPTION, { option_id: 1, op: 0, object_id: s.ioas, val64: 2n }]],
    [
      'domains and mappings',
      'EINVAL',
      (s) => after([s.paging(), s.map(0n, 4096n)], [uapi.OPTION, { option_id: 1, op: 0, object_id: s.ioas }]),
    ],
    [
      'misaligned mapping',
      'EADDRINUSE',
      (s) => after(s.map(3n, 4096n), [uapi.OPTION, { option_id: 1, op: 0, object_id: s.ioas }]),
    ],
  ],
  VFIO_IOAS: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.VFIO_IOAS, { op: 1, __reserved: 1 }]],
    ['unset', 'ENODEV', () => [uapi.VFIO_IOAS, { op: 0 }]],
    ['no IOAS', 'ENOENT', () => [uapi.VFIO_IOAS, { op: 1, ioas_id: NONE }]],
    ['unknown operation', 'EOPNOTSUPP', () => [uapi.VFIO_IOAS, { op: 3 }]],
    ['cleared', 'OK', () => [uapi.VFIO_IOAS, { op: 2 }]],
  ],
  IOAS_CHANGE_PROCESS: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.IOAS_CHANGE_PROCESS, { __reserved: 1 }]],
    ['user memory', 'EINVAL', (s) => after(s.map(0n, 4096n), [uapi.IOAS_CHANGE_PROCESS, {}])],
    ['nothing mapped', 'OK', () => [uapi.IOAS_CHANGE_PROCESS, {}]],
  ],
  HWPT_ALLOC: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.HWPT_ALLOC, { __reserved: 1, data_len: 1, dev_id: NONE }]],
    ['second reserved', 'EOPNOTSUPP', () => [uapi.HWPT_ALLOC, { __reserved2: 1, data_len: 1, dev_id: NONE }]],
    ['length without a type', 'EINVAL', () => [uapi.HWPT_ALLOC, { data_len: 1, dev_id: NONE }]],
    ['type without a length', 'EINVAL', () => [uapi.HWPT_ALLOC, { data_type: 1, dev_id: NONE }]],
    ['no device', 'ENOENT', () => [uapi.HWPT_ALLOC, { dev_id: NONE, pt_id: NONE }]],
    ['no page table', 'EINVAL', (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: NONE }]],
    ['on a device', 'EINVAL', (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.dev }]],
    ['unknown flag', 'EOPNOTSUPP', (s) => [uapi.HWPT_ALLOC, { flags: 16, dev_id: s.dev, pt_id: s.ioas }]],
    [
      'flags on a plain driver',
      'EOPNOTSUPP',
      (s) => [uapi.HWPT_ALLOC, { flags: 4, fault_id: NONE, dev_id: s.dev, pt_id: s.ioas }],
      { plain: true },
    ],
    ['dirty tracking', 'EOPNOTSUPP', (s) => [uapi.HWPT_ALLOC, { flags: 2, dev_id: s.dev, pt_id: s.ioas }]],
    ['faults on a parent', 'EOPNOTSUPP', (s) => [uapi.HWPT_ALLOC, { flags: 5, dev_id: s.dev, pt_id: s.ioas }]],
    ['data on a paging HWPT', 'EOPNOTSUPP', (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.ioas, ...s.data() }]],
    [
      'smallest page too large',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.ioas }],
      { pageSizes: 1n << 16n },
    ],
    [
      'misaligned mapping',
      'EADDRINUSE',
      (s) => after(s.map(3n, 4096n), [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.ioas }]),
    ],
    [
      'mapping outside the aperture',
      'EADDRINUSE',
      (s) => after(s.map(2n ** 50n, 4096n), [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.ioas }]),
    ],
    [
      'allow list outside the aperture',
      'EADDRINUSE',
      (s) =>
        after(s.ok(uapi.IOAS_ALLOW_IOVAS, ranges(s, [[2n ** 50n, 2n ** 51n]])), [
          uapi.HWPT_ALLOC,
          { dev_id: s.dev, pt_id: s.ioas },
        ]),
    ],
    [
      'a mapping that cannot be pinned',
      'EFAULT',
      (s) => {
        s.ok(uapi.IOAS_MAP, { flags: 7, ioas_id: s.ioas, user_va: 0x8000_0000n, length: 4096n, iova: 0n });
        return [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.ioas }];
      },
    ],
    [
      'nested: flags',
      'EOPNOTSUPP',
      (s) => [uapi.HWPT_ALLOC, { flags: 1, dev_id: s.dev, pt_id: s.paging(), ...s.data() }],
    ],
    [
      'nested: no op',
      'EOPNOTSUPP',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging(), ...s.data() }],
      { nestedOnParent: false },
    ],
    ['nested: no data', 'EOPNOTSUPP', (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging() }]],
    ['nested: no parent', 'EINVAL', (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging(), ...s.data() }]],
    [
      'nested: automatic parent',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.bound.attach(s.ioas), ...s.data() }],
    ],
    [
      'nested: on nested',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.nested(s.paging(1)), ...s.data() }],
    ],
    [
      'nested: another driver',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.addUnit().bound.id, pt_id: s.paging(1), ...s.data() }],
    ],
    [
      'nested: foreign type',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging(1), ...s.data(), data_type: 2, data_uptr: 8n }],
    ],
    [
      'nested: longer',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging(1), ...s.data(), data_len: 16 }],
    ],
    [
      'nested: absurdly long',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging(1), ...s.data(), data_len: 2 ** 32 - 1 }],
    ],
    [
      'nested: bad pointer',
      'EFAULT',
      (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.paging(1), ...s.data(), data_uptr: 8n }],
    ],
    [
      'vIOMMU: another driver',
      'EINVAL',
      (s) => [uapi.HWPT_ALLOC, { flags: 1, dev_id: s.addUnit().bound.id, pt_id: s.viommu(), ...s.data() }],
    ],
    [
      'vIOMMU: flags',
      'EOPNOTSUPP',
      (s) => [uapi.HWPT_ALLOC, { flags: 2, dev_id: s.dev, pt_id: s.viommu(), ...s.data() }],
    ],
    ['vIOMMU: no data', 'EOPNOTSUPP', (s) => [uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id: s.viommu() }]],
    ['no fault queue', 'ENOENT', (s) => [uapi.HWPT_ALLOC, { flags: 4, fault_id: NONE, dev_id: s.dev, pt_id: s.ioas }]],
    ['fault_id without its flag', 'OK', (s) => [uapi.HWPT_ALLOC, { fault_id: NONE, dev_id: s.dev, pt_id: s.ioas }]],
  ],
  GET_HW_INFO: [
    ['flags', 'EOPNOTSUPP', () => [uapi.GET_HW_INFO, { flags: 2, dev_id: NONE }]],
    ['reserved', 'EOPNOTSUPP', () => [uapi.GET_HW_INFO, { __reserved1: 1, dev_id: NONE }]],
    ['no device', 'ENOENT', () => [uapi.GET_HW_INFO, { dev_id: NONE }]],
    ['unknown type', 'EOPNOTSUPP', (s) => [uapi.GET_HW_INFO, { flags: 1, dev_id: s.dev, out_data_type: 9 }]],
    ['a type without the flag', 'OK', (s) => [uapi.GET_HW_INFO, { dev_id: s.dev, out_data_type: 9 }]],
    [
      'any type where there is none',
      'OK',
      (s) => [uapi.GET_HW_INFO, { flags: 1, dev_id: s.dev, out_data_type: 9 }],
      { hwInfo: null },
    ],
    ['bad pointer', 'EFAULT', (s) => [uapi.GET_HW_INFO, { dev_id: s.dev, data_len: 1, data_uptr: 8n }]],
    [
      'bad pointer, nothing but zeros to write',
      'EFAULT',
      (s) => [uapi.GET_HW_INFO, { dev_id: s.dev, data_len: 1, data_uptr: 8n }],
      { hwInfo: null },
    ],
    ['bad pointer, nothing to write', 'OK', (s) => [uapi.GET_HW_INFO, { dev_id: s.dev, data_uptr: 8n }]],
  ],
  HWPT_SET_DIRTY_TRACKING: [
    ['flags', 'EOPNOTSUPP', () => [uapi.HWPT_SET_DIRTY_TRACKING, { flags: 2, hwpt_id: NONE }]],
    ['reserved', 'EOPNOTSUPP', () => [uapi.HWPT_SET_DIRTY_TRACKING, { __reserved: 2, hwpt_id: NONE }]],
    ['absent', 'ENOENT', () => [uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id: NONE }]],
    ['nested', 'ENOENT', (s) => [uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id: s.nested(s.paging(1)) }]],
    ['without tracking', 'EOPNOTSUPP', (s) => [uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id: s.paging() }]],
    ['with', 'OK', (s) => [uapi.HWPT_SET_DIRTY_TRACKING, { flags: 1, hwpt_id: s.paging(2) }], { dirty: true }],
  ],
  HWPT_GET_DIRTY_BITMAP: [
    ['flags', 'EOPNOTSUPP', () => [uapi.HWPT_GET_DIRTY_BITMAP, { flags: 2, hwpt_id: NONE }]],
    ['reserved', 'EOPNOTSUPP', () => [uapi.HWPT_GET_DIRTY_BITMAP, { __reserved: 2, hwpt_id: NONE }]],
    ['absent', 'ENOENT', () => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: NONE, iova: 9n }]],
    ['empty wraps', 'EOVERFLOW', (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), iova: 4096n }]],
    ['wraps', 'EOVERFLOW', (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), iova: TOP, length: 4096n }]],
    [
      'misaligned iova',
      'EINVAL',
      (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), iova: 1n, length: 4095n, page_size: 1n }],
    ],
    ['no page size', 'EINVAL', (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), length: 4096n }]],
    [
      'no multiple of the page size',
      'EINVAL',
      (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), length: 4096n, page_size: 8192n }],
    ],
    [
      'without tracking',
      'EOPNOTSUPP',
      (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), length: 4096n, page_size: 4096n }],
    ],
    [
      'empty, at 0, without tracking',
      'EOPNOTSUPP',
      (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(), page_size: 4096n }],
    ],
    [
      'empty, at 0',
      'OK',
      (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(2), page_size: 4096n }],
      { dirty: true },
    ],
    [
      'a hole',
      'EINVAL',
      (s) => [uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: s.paging(2), length: 4096n, page_size: 4096n, data: 8n }],
      { dirty: true },
    ],
    [
      'bad pointer',
      'EFAULT',
      (s) =>
        after(s.map(0n, 4096n), [
          uapi.HWPT_GET_DIRTY_BITMAP,
          { hwpt_id: s.paging(2), length: 4096n, page_size: 4096n, data: 8n },
        ]),
      { dirty: true },
    ],
  ],
  HWPT_INVALIDATE: [
    ['reserved', 'EOPNOTSUPP', () => [uapi.HWPT_INVALIDATE, { __reserved: 1, entry_num: 1, hwpt_id: NONE }]],
    ['no pointer', 'EINVAL', () => [uapi.HWPT_INVALIDATE, { entry_num: 1, entry_len: 4, hwpt_id: NONE }]],
    ['no length', 'EINVAL', () => [uapi.HWPT_INVALIDATE, { entry_num: 1, data_uptr: 8n, hwpt_id: NONE }]],
    [
      'more than a page',
      'EINVAL',
      () => [uapi.HWPT_INVALIDATE, { entry_num: 1, entry_len: 4097, data_uptr: 8n, hwpt_id: NONE }],
    ],
    [
      'too many',
      'EINVAL',
      () => [uapi.HWPT_INVALIDATE, { entry_num: 2 ** 19 + 1, entry_len: 4, data_uptr: 8n, hwpt_id: NONE }],
    ],
    [
      'absent',
      'ENOENT',
      () => [uapi.HWPT_INVALIDATE, { entry_num: 2 ** 19, entry_len: 4, data_uptr: 8n, hwpt_id: NONE }],
    ],
    ['paging', 'EINVAL', (s) => [uapi.HWPT_INVALIDATE, { hwpt_id: s.paging() }]],
    [
      'no op',
      'EOPNOTSUPP',
      (s) => {
        const pt_id = s.viommu();
        const { out_hwpt_id } = s.ok(uapi.HWPT_ALLOC, { dev_id: s.dev, pt_id, ...s.data() });
        return [uapi.HWPT_INVALIDATE, { hwpt_id: out_hwpt_id }];
      },
    ],
    [
      'empty array of a known type',
      'OK',
      (s) => [uapi.HWPT_INVALIDATE, { hwpt_id: s.viommu(), data_type: FAKE.INVALIDATE }],
    ],
    ['empty array of an unknown type', 'EINVAL', (s) => [uapi.HWPT_INVALIDATE, { hwpt_id: s.viommu(), data_type: 1 }]],
  ],
  FAULT_QUEUE_ALLOC: [['flags', 'EOPNOTSUPP', () => [uapi.FAULT_QUEUE_ALLOC, { flags: 1 }]]],
  VIOMMU_ALLOC: [
    ['flags', 'EOPNOTSUPP', () => [uapi.VIOMMU_ALLOC, { flags: 1, type: FAKE.VIOMMU, dev_id: NONE }]],
    ['reserved', 'EOPNOTSUPP', () => [uapi.VIOMMU_ALLOC, { __reserved: 1, type: FAKE.VIOMMU, dev_id: NONE }]],
    ['type 0', 'EOPNOTSUPP', () => [uapi.VIOMMU_ALLOC, { dev_id: NONE }]],
    ['no device', 'ENOENT', () => [uapi.VIOMMU_ALLOC, { type: 1, dev_id: NONE, hwpt_id: NONE }]],
    ['foreign type', 'EOPNOTSUPP', (s) => [uapi.VIOMMU_ALLOC, { type: 1, dev_id: s.dev, hwpt_id: NONE }]],
    [
      'no op',
      'EOPNOTSUPP',
      (s) => [uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: s.dev, hwpt_id: NONE }],
      { viommu: false },
    ],
    ['no HWPT', 'ENOENT', (s) => [uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: s.dev, hwpt_id: s.ioas }]],
    ['no parent', 'EINVAL', (s) => [uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: s.dev, hwpt_id: s.paging() }]],
    [
      'another driver',
      'EINVAL',
      (s) => [uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: s.addUnit().bound.id, hwpt_id: s.paging(1) }],
    ],
    [
      'bad data',
      'EFAULT',
      (s) => [
        uapi.VIOMMU_ALLOC,
        { type: FAKE.VIOMMU, dev_id: s.dev, hwpt_id: s.paging(1), data_len: 24, data_uptr: 8n },
      ],
    ],
  ],
  VDEVICE_ALLOC: [
    ['no vIOMMU', 'ENOENT', () => [uapi.VDEVICE_ALLOC, { viommu_id: NONE, dev_id: NONE }]],
    ['no device', 'ENOENT', (s) => [uapi.VDEVICE_ALLOC, { viommu_id: s.viommu(), dev_id: NONE }]],
    ['another driver', 'EINVAL', (s) => [uapi.VDEVICE_ALLOC, { viommu_id: s.viommu(), dev_id: s.addUnit().bound.id }]],
    [
      'the device has one',
      'EEXIST',
      (s) => {
        const viommu_id = s.viommu();
        s.ok(uapi.VDEVICE_ALLOC, { viommu_id, dev_id: s.dev, virt_id: 5n });
        return [uapi.VDEVICE_ALLOC, { viommu_id: s.viommu(), dev_id: s.dev, virt_id: 6n }];
      },
    ],
    [
      'the driver refuses',
      'EIO',
      (s) => [uapi.VDEVICE_ALLOC, { viommu_id: s.viommu(), dev_id: s.dev, virt_id: 0xbadn }],
    ],
    ['virtual id 0', 'OK', (s) => [uapi.VDEVICE_ALLOC, { viommu_id: s.viommu(), dev_id: s.dev }]],
  ],
  VEVENTQ_ALLOC: [
    ['flags', 'EOPNOTSUPP', () => [uapi.VEVENTQ_ALLOC, { flags: 1, type: 1 }]],
    ['reserved', 'EOPNOTSUPP', () => [uapi.VEVENTQ_ALLOC, { __reserved: 1, type: 1 }]],
    ['type 0', 'EOPNOTSUPP', () => [uapi.VEVENTQ_ALLOC, {}]],
    ['no depth', 'EINVAL', () => [uapi.VEVENTQ_ALLOC, { type: 1, viommu_id: NONE }]],
    ['too deep', 'EINVAL', () => [uapi.VEVENTQ_ALLOC, { type: 1, viommu_id: NONE, veventq_depth: 2 ** 19 + 1 }]],
    ['no vIOMMU', 'ENOENT', () => [uapi.VEVENTQ_ALLOC, { type: 1, viommu_id: NONE, veventq_depth: 2 ** 19 }]],
    [
      'twice',
      'EEXIST',
      (s) => {
        const values = { type: 1, viommu_id: s.viommu(), veventq_depth: 1 };
        s.ok(uapi.VEVENTQ_ALLOC, values);
        return [uapi.VEVENTQ_ALLOC, values];
      },
    ],
    ['a type nobody knows', 'OK', (s) => [uapi.VEVENTQ_ALLOC, { type: 999, viommu_id: s.viommu(), veventq_depth: 1 }]],
  ],
  HW_QUEUE_ALLOC: [
    ['flags', 'EOPNOTSUPP', () => [uapi.HW_QUEUE_ALLOC, { flags: 1, type: 1 }]],
    ['type 0', 'EOPNOTSUPP', () => [uapi.HW_QUEUE_ALLOC, {}]],
    ['empty', 'EINVAL', () => [uapi.HW_QUEUE_ALLOC, { type: 1, viommu_id: NONE }]],
    [
      'wraps',
      'EOVERFLOW',
      () => [uapi.HW_QUEUE_ALLOC, { type: 1, viommu_id: NONE, nesting_parent_iova: TOP, length: 2n }],
    ],
    [
      'no vIOMMU',
      'ENOENT',
      () => [uapi.HW_QUEUE_ALLOC, { type: 1, viommu_id: NONE, nesting_parent_iova: TOP, length: 1n }],
    ],
    ['foreign type', 'EOPNOTSUPP', (s) => [uapi.HW_QUEUE_ALLOC, { type: 1, viommu_id: s.viommu(), length: 1n }]],
    [
      'no room to round',
      'ERANGE',
      (s) => [uapi.HW_QUEUE_ALLOC, { type: FAKE.QUEUE, viommu_id: s.viommu(), nesting_parent_iova: TOP, length: 1n }],
    ],
    [
      'alignment',
      'EADDRINUSE',
      (s) => after(s.map(0n, 2048n), [uapi.HW_QUEUE_ALLOC, { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 1n }]),
      { pageSizes: 1n << 11n },
    ],
    ['a hole', 'ENOENT', (s) => [uapi.HW_QUEUE_ALLOC, { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 1n }]],
    [
      'not readable',
      'EPERM',
      (s) => after(s.map(0n, 4096n, 3), [uapi.HW_QUEUE_ALLOC, { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 1n }]),
    ],
    [
      'not contiguous',
      'EFAULT',
      (s) => {
        s.map(0n, 4096n);
        s.map(4096n, 4096n);
        return [uapi.HW_QUEUE_ALLOC, { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 4097n }];
      },
    ],
    [
      'index',
      'EINVAL',
      (s) =>
        after(s.map(0n, 4096n), [
          uapi.HW_QUEUE_ALLOC,
          { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 1n, index: 2 },
        ]),
    ],
    [
      'index before is missing',
      'EIO',
      (s) =>
        after(s.map(0n, 4096n), [
          uapi.HW_QUEUE_ALLOC,
          { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 1n, index: 1 },
        ]),
    ],
    [
      'in use',
      'EEXIST',
      (s) => {
        s.map(0n, 4096n);
        const values = { type: FAKE.QUEUE, viommu_id: s.viommu(), length: 1n };
        s.ok(uapi.HW_QUEUE_ALLOC, values);
        return [uapi.HW_QUEUE_ALLOC, values];
      },
    ],
  ],
};

function ranges(s: Setup, list: readonly (readonly [bigint, bigint])[], at = s.scratch + 0x4000n) {
  s.process.write(at, new Uint8Array(BigUint64Array.from(list.flat()).buffer));
  return { ioas_id: s.ioas, num_iovas: list.length, allowed_iovas: at };
}

for (const [name, cases] of Object.entries(LISTS)) {
  describe(name, () => {
    test.each(cases)('%s: %s', (_title, errno, make, options) => {
      const setup = new Setup(options);
      const [struct, values] = make(setup);
      const before = setup.context.table.objects.map(({ id }) => id);
      expect(setup.errno(struct, values)).toBe(errno);
      if (errno !== 'OK') expect(setup.context.table.objects.map(({ id }) => id)).toEqual(before);
      if (![...setup.context.table.objects].some(({ type }) => type === 'fault' || type === 'veventq'))
        expect(closeAll(setup)).toEqual(NOTHING_LEFT);
    });
  });
}

function closeAll(setup: Setup): Record<string, number> {
  for (const object of setup.context.table.objects) {
    if (object.type === 'device') (object as typeof setup.bound).unbind();
  }
  setup.file.close();
  return setup.leftovers;
}
