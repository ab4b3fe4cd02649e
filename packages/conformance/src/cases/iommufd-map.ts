import { ExportedDmaBuf, uapi, vfio } from '@iommukit/iommufd';
import { equal, ok, refuses } from '../expect.ts';
import { type BoundDevice, errnoName, MAP, type User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

/** A device on an IOAS. */
function attached(user: User, name: 'b' | 'pasid2' = 'b'): BoundDevice & { readonly ioas: number } {
  const bound = user.device(name);
  const ioas = user.ioas();
  bound.object.attach(ioas);
  return { ...bound, ioas };
}

const TOP = 2n ** 64n - 1n;

export const iommufdMap = userCases([
  {
    id: 'unmap',
    title: 'what is unmapped is gone, what is not stays; a request that cuts a mapping in two is ENOENT',
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const blocks = [0n, 2n, 4n].map((at) => user.map(ioas, BASE + at * PAGE, PAGE * 2n));
      blocks.forEach(({ pa }, i) => void dma.reaches(BASE + BigInt(i) * 2n * PAGE + PAGE, pa + PAGE));
      const cut = { ioas_id: ioas, iova: BASE + PAGE, length: PAGE * 3n };
      user.refused('ENOENT', uapi.IOAS_UNMAP, cut, 'an unmap that cuts a mapping');
      equal(user.unmap(ioas, BASE + PAGE * 2n, PAGE * 2n), PAGE * 2n, 'bytes unmapped');
      dma.refused('read', BASE + PAGE * 2n, { reason: 'not-present' });
      dma.refused('write', BASE + PAGE * 3n, { reason: 'not-present' });
      dma.reaches(BASE, blocks[0]!.pa);
      dma.reaches(BASE + PAGE * 4n, blocks[2]!.pa);
      const hole = { ioas_id: ioas, iova: BASE + PAGE * 2n, length: PAGE };
      user.refused('ENOENT', uapi.IOAS_UNMAP, hole, 'an unmap of a hole');
      equal(user.unmap(ioas, 0n, TOP), PAGE * 4n, 'bytes of everything');
      for (const i of [0n, 1n, 4n, 5n]) dma.refused('read', BASE + i * PAGE, { reason: 'not-present' });
      equal(user.unmap(ioas, 0n, TOP), 0n, 'bytes of nothing');
    },
  },
  {
    id: 'map-errors',
    title: 'a map that fails maps nothing and disturbs nothing',
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const { pa } = user.map(ioas, BASE, PAGE);
      const { va } = user.memory(PAGE);
      const good = { ioas_id: ioas, flags: MAP.FIXED_RW, user_va: va, length: PAGE, iova: BASE + PAGE };
      const bad: [Parameters<typeof user.refused>[0], object, string][] = [
        ['EEXIST', { iova: BASE }, 'over a mapping'],
        ['EFAULT', { length: PAGE * 2n }, 'memory that ends too early'],
        ['EFAULT', { user_va: 0x1000n }, 'memory that is not there'],
        ['EINVAL', { flags: MAP.FIXED }, 'neither readable nor writable'],
        ['EINVAL', { iova: BASE + PAGE + 8n }, 'a misaligned iova'],
        ['EINVAL', { length: PAGE - 8n }, 'a misaligned length'],
        ['EINVAL', { user_va: va + 8n }, 'misaligned memory'],
        ['EINVAL', { length: 0n }, 'nothing'],
        ['EINVAL', { iova: 2n ** 63n }, 'beyond what the unit translates'],
        ['EOVERFLOW', { iova: TOP }, 'the last address'],
        ['EOVERFLOW', { length: TOP }, 'everything'],
        ['EOPNOTSUPP', { flags: 0x10 | MAP.FIXED_RW }, 'an unknown flag'],
        ['EOPNOTSUPP', { __reserved: 1 }, 'a reserved field'],
        ['ENOENT', { ioas_id: 0x7000 }, 'no such IOAS'],
      ];
      for (const [errno, values, what] of bad) user.refused(errno, uapi.IOAS_MAP, { ...good, ...values }, what);
      for (const i of [1n, 2n]) dma.refused('read', BASE + i * PAGE, { reason: 'not-present' });
      dma.reaches(BASE, pa);
      user.ask(uapi.IOAS_MAP, good);
      equal(Number(user.process.pinnedPages), 2, 'pages pinned');
    },
  },
  {
    id: 'late-pinning',
    title: 'without a domain nothing is pinned: memory that is not there shows when a device is attached',
    needs: [],
    run(user) {
      const { object, dma } = user.device();
      const ioas = user.ioas();
      const { pa } = user.map(ioas, BASE, PAGE);
      user.mapBlock(ioas, BASE + PAGE, { va: 0x8000_0000n, pa: 0n }, PAGE);
      equal(Number(user.process.pinnedPages), 0, 'pages pinned without a domain');
      refuses('EFAULT', () => object.attach(ioas), 'attaching to an IOAS whose memory is not there');
      dma.refused('read', BASE, { reported: 'blocked' });
      equal(user.fd.context.table.size, 2, 'objects');
      equal(user.unmap(ioas, BASE + PAGE, PAGE), PAGE, 'bytes unmapped');
      object.attach(ioas);
      dma.reaches(BASE, pa);
      equal(Number(user.process.pinnedPages), 1, 'pages pinned');
    },
  },
  {
    id: 'permissions',
    title: "the device has the mapping's rights, not the memory's",
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const { pa } = user.map(ioas, BASE, PAGE, MAP.FIXED | MAP.READ);
      dma.reads(BASE, pa);
      dma.refused('write', BASE, { reason: 'permission' });
      const sealed = user.memory(PAGE, false);
      const map = { ioas_id: ioas, user_va: sealed.va, length: PAGE, iova: BASE + PAGE };
      user.refused('EFAULT', uapi.IOAS_MAP, { ...map, flags: MAP.FIXED_RW }, 'read-only memory mapped writable');
      user.ask(uapi.IOAS_MAP, { ...map, flags: MAP.FIXED | MAP.READ });
      dma.refused('write', BASE + PAGE, { reason: 'permission' });
    },
  },
  {
    id: 'placement',
    title: 'without FIXED the mapping is placed in a hole, where the device finds it',
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const seen = new Set<bigint>();
      for (const bytes of [PAGE, PAGE * 3n, PAGE]) {
        const block = user.memory(bytes);
        const map = { ioas_id: ioas, flags: MAP.RW, user_va: block.va, length: bytes, iova: 0n };
        const { iova } = user.ask(uapi.IOAS_MAP, map);
        ok(iova !== 0n && !seen.has(iova), 'a place that is taken, or 0');
        seen.add(iova);
        dma.reaches(iova, block.pa);
        dma.reaches(iova + bytes - PAGE, block.pa + bytes - PAGE);
      }
    },
  },
  {
    id: 'large',
    title: 'two megabytes are mapped in one piece or, with large entries off, in pages; the device sees no difference',
    needs: [],
    run(user) {
      const size = 1n << 21n;
      for (const huge of [1n, 0n]) {
        const { object, dma } = user.device();
        const ioas = user.ioas();
        user.ask(uapi.OPTION, { option_id: 1, object_id: ioas, val64: huge });
        object.attach(ioas);
        const { pa } = user.map(ioas, BASE, size);
        for (const at of [0n, PAGE, size - PAGE]) dma.reaches(BASE + at, pa + at);
        equal(user.unmap(ioas, BASE, size), size, 'bytes unmapped');
        for (const at of [0n, PAGE, size - PAGE]) dma.refused('read', BASE + at, { reason: 'not-present' });
        user.unbind({ object, dma });
      }
    },
  },
  {
    id: 'copy',
    title: 'a copy shares the pages: it has its own rights, and outlives its source',
    needs: [],
    run(user) {
      const [from, to] = [attached(user, 'b'), attached(user, 'pasid2')];
      const first = user.map(from.ioas, BASE, PAGE * 2n);
      const second = user.map(from.ioas, BASE + PAGE * 2n, PAGE * 2n);
      const pinned = user.process.pinnedPages;
      const ids = { dst_ioas_id: to.ioas, src_ioas_id: from.ioas };
      const copy = { ...ids, flags: MAP.FIXED_RW, length: PAGE * 2n, src_iova: BASE + PAGE, dst_iova: BASE };
      user.ask(uapi.IOAS_COPY, copy);
      to.dma.reaches(BASE, first.pa + PAGE);
      to.dma.reaches(BASE + PAGE, second.pa);
      const readable = { ...copy, flags: MAP.FIXED | MAP.READ, dst_iova: BASE + PAGE * 8n };
      user.ask(uapi.IOAS_COPY, readable);
      to.dma.reads(BASE + PAGE * 8n, first.pa + PAGE);
      to.dma.refused('write', BASE + PAGE * 8n, { reason: 'permission' });
      equal(user.process.pinnedPages, pinned, 'pages pinned after the copies');
      from.dma.reaches(BASE + PAGE, first.pa + PAGE);
      user.unmap(from.ioas, 0n, TOP);
      from.dma.refused('read', BASE + PAGE, { reason: 'not-present' });
      to.dma.reaches(BASE, first.pa + PAGE);
      user.refused('ENOENT', uapi.IOAS_COPY, copy, 'a copy of a hole');
    },
  },
  {
    id: 'copy-read-only',
    title: 'memory mapped read-only is not copied writable',
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      user.map(ioas, BASE, PAGE, MAP.FIXED | MAP.READ);
      const ids = { dst_ioas_id: ioas, src_ioas_id: ioas };
      const copy = { ...ids, flags: MAP.FIXED_RW, length: PAGE, src_iova: BASE, dst_iova: BASE + PAGE };
      user.refused('EPERM', uapi.IOAS_COPY, copy, 'a writable copy');
      dma.refused('read', BASE + PAGE, { reason: 'not-present' });
    },
  },
  {
    id: 'file',
    title: 'a memory file is mapped from an offset on, and its pages can be paid for by another process',
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const { fd, file } = user.process.memfd(PAGE * 4n);
      const map = { ioas_id: ioas, flags: MAP.FIXED_RW, fd, start: PAGE, length: PAGE * 2n, iova: BASE };
      user.refused('EINVAL', uapi.IOAS_MAP_FILE, { ...map, length: PAGE * 4n }, 'a range past the file');
      user.refused('EBADF', uapi.IOAS_MAP_FILE, { ...map, fd: 900 }, 'no such descriptor');
      user.ask(uapi.IOAS_MAP_FILE, map);
      dma.reaches(BASE, file.pa + PAGE);
      dma.reaches(BASE + PAGE, file.pa + PAGE * 2n);
      user.ask(uapi.IOAS_CHANGE_PROCESS, {});
      user.map(ioas, BASE + PAGE * 2n, PAGE);
      user.refused('EINVAL', uapi.IOAS_CHANGE_PROCESS, {}, 'moving memory that is no file');
      user.unmap(ioas, 0n, TOP);
      equal(Number(file.pinnedPages), 0, 'pages of the file that stay pinned');
      dma.refused('read', BASE, { reason: 'not-present' });
    },
  },
  {
    id: 'dma-buf',
    title: 'memory that its exporter takes back is gone at once, its addresses stay taken, and it does not come back',
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const { pa } = user.memory(PAGE * 2n);
      const buffer = new ExportedDmaBuf([{ pa, length: PAGE * 2n }]);
      const account = user.process.accountFor('user');
      const params = { flags: MAP.FIXED_RW, ioasId: ioas, iova: BASE, start: 0n, length: PAGE * 2n };
      user.fd.mapFile(buffer.source, account, params);
      dma.reaches(BASE + PAGE, pa + PAGE);
      buffer.setRevoked(true);
      for (const i of [0n, 1n]) dma.refused('read', BASE + i * PAGE, { reason: 'not-present' });
      refuses('EEXIST', () => user.fd.map(user.process, { ...params, userVa: user.scratch }), 'a map over it');
      buffer.setRevoked(false);
      dma.refused('read', BASE, { reason: 'not-present' });
      equal(user.unmap(ioas, BASE, PAGE * 2n), PAGE * 2n, 'bytes unmapped');
      user.fd.mapFile(buffer.source, account, params);
      dma.reaches(BASE, pa);
    },
  },
  {
    id: 'vfio-container',
    title: "VFIO's type-1 calls work on the chosen IOAS, and an unmap of nothing is no error",
    needs: [],
    run(user) {
      const { dma, ioas } = attached(user);
      const call = (request: number, bytes: Uint8Array) =>
        errnoName(user.file.ioctl(request, user.put(bytes), user.process));
      const { va, pa } = user.memory(PAGE * 2n);
      const map = vfio.TYPE1_DMA_MAP.encode({ argsz: 32, flags: 3, vaddr: va, iova: BASE, size: PAGE * 2n });
      equal(call(0x3b71, map), 'ENODEV', 'a map without an IOAS');
      user.ask(uapi.VFIO_IOAS, { op: 1, ioas_id: ioas });
      equal(call(0x3b71, map), null, 'a map');
      dma.reaches(BASE + PAGE, pa + PAGE);
      const unmap = (iova: bigint) => vfio.TYPE1_DMA_UNMAP.encode({ argsz: 24, iova, size: PAGE * 2n });
      equal(call(0x3b72, unmap(BASE + PAGE)), 'ENOENT', 'an unmap that cuts');
      equal(call(0x3b72, unmap(BASE)), null, 'an unmap');
      dma.refused('read', BASE, { reason: 'not-present' });
      equal(call(0x3b72, unmap(BASE)), null, 'an unmap of nothing');
      equal(errnoName(user.file.ioctl(0x3b66, 6n, user.process)), 'EINVAL', 'the nesting type');
      equal(user.file.ioctl(0x3b65, 6n, user.process), 0, 'the nesting extension');
    },
  },
]);
