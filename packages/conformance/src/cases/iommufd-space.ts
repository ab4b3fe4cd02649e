import { complementOf, type IovaRange } from '@iommukit/core';
import { type HwptPaging, uapi } from '@iommukit/iommufd';
import { equal, ok, refuses, same } from '../expect.ts';
import { MAP, type User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

const TOP = 2n ** 64n - 1n;
const WHOLE: readonly IovaRange[] = [{ start: 0n, last: TOP }];

/** IOVA_RANGES by bytes, probing for the number first. */
function rangesOf(user: User, ioas_id: number): { ranges: IovaRange[]; alignment: bigint } {
  const { errno, out } = user.call(uapi.IOAS_IOVA_RANGES, { ioas_id });
  equal(errno, out.num_iovas === 0 ? null : 'EMSGSIZE', 'errno of the probe');
  const { size } = uapi.IOVA_RANGE;
  const at = user.put(new Uint8Array(out.num_iovas * size));
  const full = user.ask(uapi.IOAS_IOVA_RANGES, { ioas_id, num_iovas: out.num_iovas, allowed_iovas: at });
  equal(full.num_iovas, out.num_iovas, 'number of ranges');
  const bytes = user.bytes(at, out.num_iovas * size);
  const ranges = Array.from({ length: out.num_iovas }, (_, i) => uapi.IOVA_RANGE.decode(bytes.subarray(i * size)));
  return { ranges, alignment: full.out_iova_alignment };
}

function allow(user: User, ioas_id: number, ranges: readonly IovaRange[]) {
  const bytes = ranges.map(({ start, last }) => uapi.IOVA_RANGE.encode({ start, last }));
  const at = user.put(Buffer.concat(bytes));
  return user.call(uapi.IOAS_ALLOW_IOVAS, { ioas_id, num_iovas: ranges.length, allowed_iovas: at }).errno;
}

export const iommufdSpace = userCases([
  {
    id: 'iova-ranges',
    title: "the usable ranges are what the device's regions and the domain leave open, while it is attached",
    needs: [],
    run(user) {
      const { object, dma } = user.device('b');
      const ioas = user.ioas();
      same(rangesOf(user, ioas), { ranges: WHOLE, alignment: 1n }, 'an empty IOAS');
      object.attach(ioas);
      const { domain } = object.hwpt() as HwptPaging;
      const { start, last } = domain.ops.geometry;
      const outside = [
        ...(start > 0n ? [{ start: 0n, last: start - 1n }] : []),
        ...(last < TOP ? [{ start: last + 1n, last: TOP }] : []),
      ];
      const own = dma.device.reservedRegions().filter(({ type }) => type !== 'direct-relaxable');
      const open = complementOf([...outside, ...own.map((region) => ({ start: region.start, last: region.last }))]);
      const asList = (ranges: readonly IovaRange[]) => ranges.map((range) => [range.start, range.last]);
      const found = rangesOf(user, ioas);
      same(asList(found.ranges), asList(open), 'usable ranges');
      equal(found.alignment, domain.granule, 'alignment');
      user.map(ioas, BASE, PAGE);
      same(asList(rangesOf(user, ioas).ranges), asList(open), 'usable ranges with a mapping');
      object.detach();
      same(asList(rangesOf(user, ioas).ranges), asList(WHOLE), 'usable ranges after the detach');
      equal(rangesOf(user, ioas).alignment, 1n, 'alignment after the detach');
    },
  },
  {
    id: 'reserved',
    title: "a device's reserved region is closed while it is attached, and a mapping there keeps it from attaching",
    needs: [],
    run(user) {
      const { object, dma } = user.device('b');
      const ioas = user.ioas();
      const { start, last } = dma.device.reservedRegions()[0]!;
      const { va } = user.memory(PAGE);
      const map = { ioas_id: ioas, flags: MAP.FIXED_RW, user_va: va, length: PAGE };
      for (const iova of [start, (last + 1n - PAGE) & -PAGE]) {
        user.ask(uapi.IOAS_MAP, { ...map, iova });
        refuses('EADDRINUSE', () => object.attach(ioas), 'attaching where a reserved region is mapped');
        dma.refused('read', BASE, { reported: 'blocked' });
        equal(user.unmap(ioas, iova, PAGE), PAGE, 'bytes unmapped');
      }
      object.attach(ioas);
      user.refused('EINVAL', uapi.IOAS_MAP, { ...map, iova: start }, 'a map in a reserved region');
      const wide = { ...map, iova: start - PAGE, length: PAGE * 2n, user_va: user.memory(PAGE * 2n).va };
      user.refused('EINVAL', uapi.IOAS_MAP, wide, 'a map into a reserved region');
      object.detach();
      user.ask(uapi.IOAS_MAP, { ...map, iova: start });
    },
  },
  {
    id: 'allow-list',
    title: 'automatic placement keeps to the allow list, which a device that would cut into it does not join',
    needs: [],
    run(user) {
      const { object, dma } = user.device('b');
      const ioas = user.ioas();
      equal(allow(user, ioas, [{ start: BASE, last: BASE + PAGE * 2n - 1n }]), null, 'an allow list');
      object.attach(ioas);
      const { va, pa } = user.memory(PAGE);
      const map = { ioas_id: ioas, flags: MAP.RW, user_va: va, length: PAGE, iova: 0n };
      for (const at of [BASE, BASE + PAGE]) {
        equal(user.ask(uapi.IOAS_MAP, map).iova, at, 'place');
        dma.reaches(at, pa);
      }
      user.refused('ENOSPC', uapi.IOAS_MAP, map, 'a place when the list is full');
      user.ask(uapi.IOAS_MAP, { ...map, flags: MAP.FIXED_RW, iova: BASE + PAGE * 4n });
      dma.reaches(BASE + PAGE * 4n, pa);
      const region = dma.device.reservedRegions()[0]!;
      equal(allow(user, ioas, [region]), 'EADDRINUSE', 'a reserved range allowed');
      object.detach();
      equal(allow(user, ioas, [region]), null, 'the same with the device gone');
      refuses('EADDRINUSE', () => object.attach(ioas), 'attaching a device that would cut into the list');
      dma.refused('read', BASE, { reported: 'blocked' });
      equal(allow(user, ioas, []), null, 'an empty list');
      object.attach(ioas);
    },
  },
  {
    id: 'bus-limits',
    title: "what a device's bus keeps from it is closed in the address space it joins",
    needs: [],
    run(user) {
      const device = user.rig.device('limited');
      const { object } = user.bind(device);
      const ioas = user.ioas();
      object.attach(ioas);
      const { ranges } = user.fd.iovaRanges(ioas);
      const inside = ranges.every(({ start, last }) => start >= 0x1_0000n && last <= 0xffff_ffffn);
      ok(inside && ranges.length > 0, "a usable range lies outside the bus' window");
      const { pa } = user.map(ioas, BASE, PAGE);
      device.reaches(BASE, pa);
      const { va } = user.memory(PAGE);
      const map = { ioas_id: ioas, flags: MAP.FIXED_RW, user_va: va, length: PAGE, iova: 0x1_0000_0000n };
      user.refused('EINVAL', uapi.IOAS_MAP, map, 'a map above the window');
    },
  },
]);
