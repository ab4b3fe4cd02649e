import { isIommuError } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import {
  DeviceObject,
  type Struct,
  type StructFields,
  type StructValues,
  uapi,
  VfioDeviceFile,
  vfio,
} from '../src/index.ts';
import { Bench, errnoName, NOTHING_LEFT } from './support/bench.ts';
import { FAKE, type FakeOptions } from './support/fake-driver.ts';

/** Stops a sequence at the call that was made to fail. */
class Stopped extends Error {}

class Run extends Bench {
  readonly va = this.process.alloc(1 << 22);

  /** One call; a failure must leave the objects as they were. */
  step<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): StructValues<F> {
    const before = this.state;
    const { result, out } = this.call(struct, values);
    if (result >= 0) return out;
    expect(['ENOMEM', 'EFAULT']).toContain(errnoName(result));
    expect(this.state).toEqual(before);
    throw new Stopped(`${struct.name}: ${errnoName(result)}`);
  }

  /** The same for what is no ioctl of the file. */
  attempt<T>(what: string, run: () => T): T {
    const before = this.state;
    try {
      return run();
    } catch (error) {
      if (!isIommuError(error)) throw error;
      expect(this.state).toEqual(before);
      throw new Stopped(`${what}: ${error.errno}`);
    }
  }

  get state() {
    const objects = this.context.table.objects.map(({ id, type, users }) => `${id} ${type} ${users}`);
    const { domain, pasids } = this.device.group;
    return { objects, leftovers: this.leftovers, attached: domain.kind, pasids };
  }

  ioas(): number {
    return this.step(uapi.IOAS_ALLOC, {}).out_ioas_id;
  }
  hwpt(pt_id: number, values: object = {}): number {
    return this.step(uapi.HWPT_ALLOC, { dev_id: this.bound.id, pt_id, ...values }).out_hwpt_id;
  }
  map(ioas_id: number, iova: bigint, length: bigint): void {
    this.step(uapi.IOAS_MAP, { ioas_id, flags: 7, user_va: this.va, length, iova });
  }
}

const DATA = (run: Run) => ({ data_type: FAKE.HWPT_DATA, data_len: 8, data_uptr: run.scratch });

const SEQUENCES: Record<string, { options?: FakeOptions; play(run: Run): void }> = {
  'map into two domains, copy, unmap': {
    play(run) {
      const [a, b] = [run.ioas(), run.ioas()];
      run.map(a, 0x10_0000n, 0x3000n);
      run.hwpt(a);
      run.hwpt(a);
      run.hwpt(b);
      run.map(a, 0x20_0000n, 0x30_0000n);
      const copy = { flags: 7, src_ioas_id: a, dst_ioas_id: b, length: 0x3000n, src_iova: 0x20_1000n };
      run.step(uapi.IOAS_COPY, { ...copy, dst_iova: 0x5000n });
      run.step(uapi.IOAS_UNMAP, { ioas_id: a, iova: 0n, length: 2n ** 64n - 1n });
      run.step(uapi.IOAS_COPY, { ...copy, src_ioas_id: b, src_iova: 0x5000n, dst_iova: 0x9000n });
    },
  },
  'attach, replace, detach by IOAS': {
    play(run) {
      const [a, b] = [run.ioas(), run.ioas()];
      run.map(a, 0x10_0000n, 0x3000n);
      run.map(b, 0x10_0000n, 0x3000n);
      run.attempt('attach', () => run.bound.attach(a));
      run.attempt('replace', () => run.bound.replace(b));
      const own = run.hwpt(b);
      run.attempt('replace', () => run.bound.replace(own));
      run.bound.detach();
    },
  },
  'files and accounting': {
    play(run) {
      const a = run.ioas();
      run.hwpt(a);
      const { fd } = run.process.memfd(0x8000n);
      run.step(uapi.IOAS_MAP_FILE, { ioas_id: a, flags: 6, fd, start: 0x1000n, length: 0x4000n });
      run.step(uapi.IOAS_CHANGE_PROCESS, {});
    },
  },
  'nested on a parent, with faults': {
    play(run) {
      const a = run.ioas();
      const parent = run.hwpt(a, { flags: 1 });
      const fault_id = run.step(uapi.FAULT_QUEUE_ALLOC, {}).out_fault_id;
      const nested = run.hwpt(parent, { flags: 4, fault_id, ...DATA(run) });
      run.attempt('attach', () => run.bound.attach(nested));
      const request = { flags: 2, pasid: 0, groupId: 1, perm: 1, address: 0n };
      run.driver.sink!.report(run.device.handle, request);
    },
  },
  'a vIOMMU and all it has': {
    play(run) {
      const a = run.ioas();
      run.map(a, 0n, 0x8000n);
      const parent = run.hwpt(a, { flags: 1 });
      const region = { data_len: 24, data_uptr: run.scratch + 0x4000n };
      const { out_viommu_id: viommu_id } = run.step(uapi.VIOMMU_ALLOC, {
        type: FAKE.VIOMMU,
        dev_id: run.bound.id,
        hwpt_id: parent,
        ...region,
      });
      run.step(uapi.VDEVICE_ALLOC, { viommu_id, dev_id: run.bound.id, virt_id: 7n });
      run.step(uapi.VEVENTQ_ALLOC, { viommu_id, type: FAKE.EVENT, veventq_depth: 4 });
      const queue = { viommu_id, type: FAKE.QUEUE, nesting_parent_iova: 0n, length: 0x1000n };
      run.step(uapi.HW_QUEUE_ALLOC, queue);
      run.step(uapi.HW_QUEUE_ALLOC, { ...queue, index: 1 });
      const nested = run.hwpt(viommu_id, DATA(run));
      run.attempt('attach', () => run.bound.attach(nested));
    },
  },
  PASIDs: {
    options: { maxPasids: 64 },
    play(run) {
      const a = run.ioas();
      const [one, two] = [run.hwpt(a, { flags: 8 }), run.hwpt(a, { flags: 8 })];
      run.attempt('attach', () => run.bound.attach(one, 3));
      run.attempt('replace', () => run.bound.replace(two, 3));
      run.attempt('attach', () => run.bound.attach(one));
    },
  },
  'VFIO: bind, attach, type 1 mappings': {
    play(run) {
      const a = run.ioas();
      run.step(uapi.VFIO_IOAS, { op: 1, ioas_id: a });
      const device = new VfioDeviceFile(run.addDevice());
      run.process.open(device);
      const fd = run.process.open(run.file);
      const ask = (what: string, file: { ioctl: VfioDeviceFile['ioctl'] }, request: number, bytes: Uint8Array) => {
        run.process.write(run.scratch, bytes);
        const before = run.state;
        const result = file.ioctl(request, run.scratch, run.process);
        if (result >= 0) return;
        expect(run.state).toEqual(before);
        throw new Stopped(`${what}: ${errnoName(result)}`);
      };
      ask('bind', device, 0x3b76, vfio.BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd }));
      ask('attach', device, 0x3b77, vfio.ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: a }));
      const map = { argsz: 32, flags: 3, vaddr: run.va, iova: 0x4000n, size: 0x8000n };
      ask('type 1', { ioctl: (request, _arg, user) => run.file.ioctl(request, 1n, user) }, 0x3b66, new Uint8Array());
      ask('map', run.file, 0x3b71, vfio.TYPE1_DMA_MAP.encode(map));
      ask('unmap', run.file, 0x3b72, vfio.TYPE1_DMA_UNMAP.encode({ argsz: 24, iova: 0x6000n, size: 0x1000n }));
    },
  },
};

function playOnce(name: string, n: number): { fired: boolean; uses: number } {
  const { options, play } = SEQUENCES[name]!;
  const run = new Run(options);
  run.context.injector.failNth(n);
  const start = run.context.injector.uses;
  try {
    play(run);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  }
  const fired = n > 0 && !run.context.injector.armed;
  run.context.injector.failNth(0);
  expect(closeEverything(run)).toEqual(NOTHING_LEFT);
  return { fired, uses: run.context.injector.uses - start };
}

function closeEverything(run: Run): Record<string, number> {
  const { context } = run;
  for (let fd = 3; fd < 20; fd++) {
    try {
      run.process.closeFd(fd);
    } catch {
      // not open
    }
  }
  for (const object of context.table.objects) if (object instanceof DeviceObject) object.unbind();
  run.file.close();
  expect(context.closed).toBe(true);
  return run.leftovers;
}

describe('the nth use of anything fails', () => {
  test.each(Object.keys(SEQUENCES))('%s', (name) => {
    const { uses } = playOnce(name, 0);
    expect(uses).toBeGreaterThan(5);
    let n = 1;
    while (playOnce(name, n).fired) n++;
    expect(n).toBe(uses + 1);
  });
});
