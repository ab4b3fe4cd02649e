import { uapi } from '@iommukit/iommufd';
import { equal, ok, same } from '../expect.ts';
import { errnoName, type User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

const { GET_HW_INFO, HWPT_ALLOC, HWPT_GET_DIRTY_BITMAP, HWPT_SET_DIRTY_TRACKING } = uapi;

const DIRTY_TRACKING = 2;
const INPUT_TYPE = 1;
const NO_CLEAR = 1;
const CAP_DIRTY = 1n;
const CAP_NO_ATS = 8n;
const VFIO_DMA_CC = 4n;

/** A device on an HWPT that tracks writes, tracking on, over 32 pages. */
function tracked(user: User) {
  const bound = user.device();
  const ioas = user.ioas();
  const hwpt = user.hwpt(bound, ioas, { flags: DIRTY_TRACKING });
  const { pa } = user.map(ioas, BASE, PAGE * 32n);
  bound.object.attach(hwpt);
  user.ask(HWPT_SET_DIRTY_TRACKING, { hwpt_id: hwpt, flags: 1 });
  return { ...bound, hwpt, ioas, pa };
}

/** The bitmap of `pages` pages from `iova` on, over bytes that already hold `old`. */
function bitmap(user: User, hwpt_id: number, iova: bigint, pages: number, flags = 0, old = 0): number[] {
  const data = user.put(new Uint8Array(pages / 8 + 1).fill(old));
  const range = { iova, length: BigInt(pages) * PAGE, page_size: PAGE };
  user.ask(HWPT_GET_DIRTY_BITMAP, { hwpt_id, flags, ...range, data });
  return [...user.bytes(data, pages / 8 + 1)];
}

export const iommufdInfo = userCases([
  {
    id: 'hw-info',
    title:
      "the unit's registers are shown as far as the buffer goes, the rest of it is zeroed, the length is the true one",
    needs: ['hw-info'],
    run(user) {
      const { object, dma } = user.device();
      const real = dma.device.hwInfo()!;
      const room = real.bytes.length + 16;
      const at = user.put(new Uint8Array(room).fill(0xff));
      const ask = { dev_id: object.id, data_uptr: at };
      const out = user.ask(GET_HW_INFO, { ...ask, data_len: room });
      equal(out.data_len, real.bytes.length, 'length');
      equal(out.out_data_type, real.type, 'type');
      same([...user.bytes(at, room)], [...real.bytes, ...new Array(16).fill(0)], 'bytes');
      user.put(new Uint8Array(room).fill(0xff));
      equal(user.ask(GET_HW_INFO, { ...ask, data_len: 4 }).data_len, real.bytes.length, 'length with a short buffer');
      same([...user.bytes(at, 8)], [...real.bytes.subarray(0, 4), 0xff, 0xff, 0xff, 0xff], 'bytes of a short buffer');
      const typed = { ...ask, data_len: room, flags: INPUT_TYPE };
      equal(user.ask(GET_HW_INFO, { ...typed, out_data_type: real.type }).out_data_type, real.type, 'type asked for');
      user.refused('EOPNOTSUPP', GET_HW_INFO, { ...typed, out_data_type: 0x7fff }, 'an unknown type');
      equal(user.ask(GET_HW_INFO, { ...ask, out_data_type: 0x7fff }).out_data_type, real.type, 'type without the flag');
      user.refused('EFAULT', GET_HW_INFO, { ...ask, data_len: 4, data_uptr: 8n }, 'a bad pointer');
    },
    without(user) {
      const { object } = user.device();
      const at = user.put(new Uint8Array(16).fill(0xff));
      const ask = { dev_id: object.id, data_uptr: at, data_len: 16, flags: INPUT_TYPE, out_data_type: 0x7fff };
      const out = user.ask(GET_HW_INFO, ask);
      same([out.out_data_type, out.data_len], [0, 0], 'type and length of nothing');
      same([...user.bytes(at, 16)], new Array(16).fill(0), 'bytes of nothing');
    },
  },
  {
    id: 'capabilities',
    title: 'the capability bits and the PASID width are what the device and its unit can do together',
    needs: [],
    run(user) {
      for (const name of ['b', 'pasid'] as const) {
        const { object, dma } = user.device(name);
        const out = user.ask(GET_HW_INFO, { dev_id: object.id });
        const { device } = dma;
        const bit = (mask: bigint) => (out.out_capabilities & mask) !== 0n;
        equal(bit(CAP_DIRTY), device.capable('dirty-tracking'), 'dirty tracking');
        equal(bit(CAP_NO_ATS), !device.capable('pci-ats'), 'no ATS');
        const width = device.maxPasids > 0 ? Math.floor(Math.log2(device.maxPasids)) : 0;
        equal(out.out_max_pasid_log2, width, 'PASID width');
        equal(width > 0, name === 'pasid' && user.rig.has('pasid'), 'PASIDs at all');
      }
    },
  },
  {
    id: 'coherency',
    title: 'DMA is held to cache coherency from the start of an HWPT, and VFIO is told so',
    needs: ['enforce-cache-coherency'],
    run(user) {
      const { object } = user.device();
      const ioas = user.ioas();
      user.ask(uapi.VFIO_IOAS, { op: 1, ioas_id: ioas });
      object.attach(ioas);
      const { paging } = object.hwpt()!;
      ok(paging.domain.enforcesCacheCoherency, 'the HWPT does not enforce coherency');
      equal(user.file.ioctl(0x3b65, VFIO_DMA_CC, user.process), 1, 'the DMA_CC extension');
    },
    without(user) {
      const { object } = user.device();
      const ioas = user.ioas();
      user.ask(uapi.VFIO_IOAS, { op: 1, ioas_id: ioas });
      object.attach(ioas);
      ok(!object.hwpt()!.paging.domain.enforcesCacheCoherency, 'the HWPT enforces what the unit cannot');
      equal(user.file.ioctl(0x3b65, VFIO_DMA_CC, user.process), 0, 'the DMA_CC extension');
    },
  },
  {
    id: 'coherency-refused',
    title: 'an HWPT that enforces coherency takes no device without it; attaching by IOAS makes that one its own',
    needs: ['enforce-cache-coherency'],
    run(user) {
      const loose = user.rig.device('loose');
      const bindable = loose.device.capable('cache-coherency');
      if (!bindable || loose.device.capable('enforce-cache-coherency')) return;
      const [strict, weak] = [user.device('b'), user.bind(loose)];
      const ioas = user.ioas();
      const { pa } = user.map(ioas, BASE, PAGE);
      const id = strict.object.attach(ioas);
      equal(errnoName(attachResult(weak.object, id)), 'EINVAL', 'attaching to an enforcing HWPT');
      loose.refused('read', BASE, { reported: 'blocked' });
      ok(weak.object.attach(ioas) !== id, 'a device that cannot be held to it shares the enforcing HWPT');
      loose.reaches(BASE, pa);
      strict.dma.reaches(BASE, pa);
    },
  },
  {
    id: 'dirty-bitmap',
    title: 'written pages set their bits, counted from the iova asked for; reading clears, NO_CLEAR does not',
    needs: ['dirty-tracking'],
    run(user) {
      const { dma, hwpt, pa } = tracked(user);
      dma.reads(BASE + PAGE, pa + PAGE);
      for (const i of [2n, 5n, 17n]) dma.writes(BASE + i * PAGE + 8n, pa + i * PAGE + 8n);
      for (let round = 0; round < 2; round++)
        same(bitmap(user, hwpt, BASE, 32, NO_CLEAR), [0x24, 0, 0x02, 0, 0], 'bits that are kept');
      same(bitmap(user, hwpt, BASE + PAGE * 2n, 8, NO_CLEAR), [0x09, 0], 'bits from page 2 on');
      same(bitmap(user, hwpt, BASE, 8, 0, 0x40), [0x64, 0x40], 'bits over old ones');
      same(bitmap(user, hwpt, BASE, 32), [0, 0, 0x02, 0, 0], 'bits outside the range that was cleared');
      same(bitmap(user, hwpt, BASE, 32), [0, 0, 0, 0, 0], 'bits after clearing');
      dma.writes(BASE + PAGE * 2n, pa + PAGE * 2n);
      same(bitmap(user, hwpt, BASE, 32), [0x04, 0, 0, 0, 0], 'bits of a page written again');
    },
    without(user) {
      const bound = user.device();
      const ioas = user.ioas();
      const alloc = { dev_id: bound.object.id, pt_id: ioas, flags: DIRTY_TRACKING };
      user.refused('EOPNOTSUPP', HWPT_ALLOC, alloc, 'an HWPT that tracks');
      const hwpt_id = user.hwpt(bound, ioas);
      user.refused('EOPNOTSUPP', HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags: 1 }, 'tracking');
      const range = { iova: BASE, length: PAGE, page_size: PAGE, data: user.put(new Uint8Array(1)) };
      user.refused('EOPNOTSUPP', HWPT_GET_DIRTY_BITMAP, { hwpt_id, ...range }, 'a bitmap');
    },
  },
  {
    id: 'dirty-errors',
    title: 'a bitmap that cannot be filled is an error and clears nothing',
    needs: ['dirty-tracking'],
    run(user) {
      const { dma, hwpt, pa, ioas } = tracked(user);
      dma.writes(BASE + PAGE, pa + PAGE);
      const data = user.put(new Uint8Array(16));
      const ask = { hwpt_id: hwpt, iova: BASE, length: PAGE * 32n, page_size: PAGE, data };
      user.refused('EINVAL', HWPT_GET_DIRTY_BITMAP, { ...ask, length: PAGE * 40n }, 'a range with a hole');
      user.refused('EFAULT', HWPT_GET_DIRTY_BITMAP, { ...ask, data: 8n }, 'a bitmap that is not there');
      const sealed = user.memory(PAGE, false).va;
      user.refused('EFAULT', HWPT_GET_DIRTY_BITMAP, { ...ask, data: sealed }, 'a bitmap that is read-only');
      user.refused('EINVAL', HWPT_GET_DIRTY_BITMAP, { ...ask, page_size: 0n }, 'a bit for nothing');
      user.refused('EINVAL', HWPT_GET_DIRTY_BITMAP, { ...ask, iova: BASE + 8n }, 'a misaligned range');
      user.refused('EOPNOTSUPP', HWPT_GET_DIRTY_BITMAP, { ...ask, flags: 2 }, 'an unknown flag');
      user.refused('ENOENT', HWPT_GET_DIRTY_BITMAP, { ...ask, hwpt_id: ioas }, 'an IOAS for an HWPT');
      same(bitmap(user, hwpt, BASE, 32), [0x02, 0, 0, 0, 0], 'bits after the errors');
    },
  },
  {
    id: 'dirty-clean-start',
    title: 'tracking starts clean, also for pages written before',
    needs: ['dirty-tracking'],
    run(user) {
      const { dma, hwpt, pa } = tracked(user);
      dma.writes(BASE + PAGE, pa + PAGE);
      user.ask(HWPT_SET_DIRTY_TRACKING, { hwpt_id: hwpt, flags: 0 });
      for (const i of [0n, 3n]) dma.writes(BASE + i * PAGE, pa + i * PAGE);
      user.ask(HWPT_SET_DIRTY_TRACKING, { hwpt_id: hwpt, flags: 1 });
      same(bitmap(user, hwpt, BASE, 32), [0, 0, 0, 0, 0], 'bits at the start');
      dma.writes(BASE + PAGE * 3n, pa + PAGE * 3n);
      same(bitmap(user, hwpt, BASE, 32), [0x08, 0, 0, 0, 0], 'bits');
    },
  },
]);

function attachResult(object: { attach(id: number): number }, id: number): number {
  try {
    return object.attach(id);
  } catch (error) {
    return -(error as { number: number }).number;
  }
}
