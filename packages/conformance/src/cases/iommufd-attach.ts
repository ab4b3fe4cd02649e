import { uapi } from '@iommukit/iommufd';
import { equal, ok, refuses } from '../expect.ts';
import { type BoundDevice, User } from '../rig/user.ts';
import { PAGE, userCases } from './iommufd-case.ts';
import { BASE } from './scene.ts';

const { DESTROY, GET_HW_INFO, HWPT_ALLOC } = uapi;

const PASID = 8;

/** Two groups without firmware's regions. */
const two = (user: User): [BoundDevice, BoundDevice] => [user.device('b'), user.device('pasid2')];

const attachesTo = (user: User, { object }: BoundDevice, id: number, what: string): void => {
  const pt = object.hwpt()?.id ?? null;
  equal(pt, id, what);
  ok(user.fd.context.table.get(id) !== null, `${what}: the id is not there`);
};

export const iommufdAttach = userCases([
  {
    id: 'attach-ioas',
    title:
      'a device attached to an IOAS reaches what is mapped, before and after; the automatic HWPT is shared and goes last',
    needs: [],
    run(user) {
      const [one, other] = two(user);
      const ioas = user.ioas();
      const early = user.map(ioas, BASE, PAGE);
      const id = one.object.attach(ioas);
      attachesTo(user, one, id, 'HWPT of the device');
      one.dma.reaches(BASE, early.pa);
      const late = user.map(ioas, BASE + PAGE, PAGE);
      equal(other.object.attach(ioas), id, 'HWPT of the second device');
      for (const { dma } of [one, other]) dma.reaches(BASE + PAGE, late.pa);
      one.object.detach();
      one.dma.refused('read', BASE, { reported: 'blocked' });
      other.dma.reaches(BASE, early.pa);
      other.object.detach();
      other.dma.refused('read', BASE, { reported: 'blocked' });
      equal(user.call(DESTROY, { id }).errno, 'ENOENT', 'destroying the automatic HWPT');
    },
  },
  {
    id: 'attach-hwpt',
    title: 'a device attached to an HWPT made by hand sees the same IOAS; the HWPT outlives it and is in use meanwhile',
    needs: [],
    run(user) {
      const { object, dma } = user.device();
      const ioas = user.ioas();
      const id = user.hwpt({ object, dma }, ioas);
      const { pa } = user.map(ioas, BASE, PAGE);
      dma.refused('read', BASE, { reported: 'blocked' });
      equal(object.attach(id), id, 'HWPT of the device');
      dma.reaches(BASE, pa);
      refuses('EBUSY', () => object.attach(id), 'attaching twice');
      user.refused('EBUSY', DESTROY, { id }, 'destroying an HWPT in use');
      user.refused('EBUSY', DESTROY, { id: ioas }, 'destroying an IOAS in use');
      object.detach();
      dma.refused('read', BASE, { reported: 'blocked' });
      user.ask(DESTROY, { id });
      user.ask(DESTROY, { id: ioas });
    },
  },
  {
    id: 'attach-refusals',
    title: 'attaching to what is no page table fails, and leaves the device where it was',
    needs: [],
    run(user) {
      const { object, dma } = user.device();
      refuses('ENOENT', () => object.attach(0x7000), 'attaching to nothing');
      refuses('EINVAL', () => object.attach(object.id), 'attaching to a device');
      refuses('EINVAL', () => object.replace(user.ioas()), 'replacing nothing');
      dma.refused('read', BASE, { reported: 'blocked' });
      const ioas = user.ioas();
      const id = object.attach(ioas);
      refuses('EINVAL', () => object.replace(object.id), 'replacing by a device');
      equal(object.hwpt()?.id, id, 'HWPT of the device');
    },
  },
  {
    id: 'replace',
    title: "replace goes from one IOAS's mappings to another's and back, by IOAS and by HWPT",
    needs: [],
    run(user) {
      const bound = user.device();
      const { object, dma } = bound;
      const [a, b] = [user.ioas(), user.ioas()];
      const [inA, inB] = [user.map(a, BASE, PAGE), user.map(b, BASE, PAGE)];
      const first = object.attach(a);
      dma.reaches(BASE, inA.pa);
      const second = object.replace(b);
      dma.reaches(BASE, inB.pa);
      user.refused('ENOENT', DESTROY, { id: first }, 'destroying an automatic HWPT that was left');
      const own = user.hwpt(bound, a);
      equal(object.replace(own), own, 'HWPT after the replace');
      dma.reaches(BASE, inA.pa);
      user.refused('ENOENT', DESTROY, { id: second }, 'destroying the other automatic HWPT');
      equal(object.replace(own), own, 'HWPT after a replace by the same');
      dma.reaches(BASE, inA.pa);
    },
  },
  {
    id: 'failed-replace',
    title: 'a replace that fails leaves the device on its old mappings, and its reserved ranges reserved',
    needs: [],
    run(user) {
      const bound = user.device();
      const { object, dma } = bound;
      const [a, b] = [user.ioas(), user.ioas()];
      const { pa } = user.map(a, BASE, PAGE);
      const id = object.attach(a);
      const { start } = dma.device.reservedRegions()[0]!;
      user.map(b, start & -PAGE, PAGE);
      const before = user.fd.iovaRanges(a).ranges.length;
      refuses('EADDRINUSE', () => object.replace(b), 'replacing by an IOAS that maps a reserved range');
      equal(object.hwpt()?.id, id, 'HWPT of the device');
      equal(user.fd.iovaRanges(a).ranges.length, before, 'holes of the old IOAS');
      equal(user.fd.iovaRanges(b).ranges.length, 1, 'holes of the new IOAS');
      dma.reaches(BASE, pa);
    },
  },
  {
    id: 'group',
    title: 'devices of one group follow one HWPT, and the last one to leave blocks all',
    needs: [],
    run(user) {
      const [twin, sibling] = [user.device('twin'), user.device('sibling')];
      const [a, b] = [user.ioas(), user.ioas()];
      const [inA, inB] = [user.map(a, BASE, PAGE), user.map(b, BASE, PAGE)];
      const id = twin.object.attach(a);
      sibling.dma.reaches(BASE, inA.pa);
      const other = user.hwpt(twin, b);
      refuses('EINVAL', () => sibling.object.attach(other), 'another HWPT for the same group');
      equal(sibling.object.attach(id), id, 'HWPT of the sibling');
      sibling.object.replace(other);
      for (const { dma } of [twin, sibling]) dma.reaches(BASE, inB.pa);
      twin.object.detach();
      for (const { dma } of [twin, sibling]) dma.reaches(BASE, inB.pa);
      sibling.object.detach();
      for (const { dma } of [twin, sibling]) dma.refused('read', BASE, { reported: 'blocked' });
    },
  },
  {
    id: 'bind',
    title: 'a device is bound once, by one file, when it is coherent and firmware keeps no 1:1 map for it',
    needs: [],
    run(user) {
      const { rig } = user;
      for (const name of ['a', 'loose', 'limited'] as const) {
        const device = rig.device(name);
        const direct = device.device.reservedRegions().some(({ type }) => type === 'direct');
        const able = device.device.capable('cache-coherency') && !direct;
        if (able) user.unbind(user.bind(device));
        else refuses('EINVAL', () => user.bind(device), `binding ${name}`);
        device.refused('read', BASE, { reported: 'blocked' });
      }
      user.device('twin');
      const stranger = new User(rig);
      refuses('EPERM', () => stranger.device('sibling'), "binding a device of another file's group");
      stranger.close();
    },
  },
  {
    id: 'owned-elsewhere',
    title: 'a device whose group has a domain of the host is not bound',
    needs: [],
    run(user) {
      const device = user.rig.device('b');
      const domain = device.attached();
      refuses('EBUSY', () => user.bind(device), 'binding a device in use');
      device.detach();
      domain.free();
      user.bind(device);
    },
  },
  {
    id: 'two-units',
    title: 'devices behind two units share an IOAS by an HWPT each, and a page unmapped is gone from both',
    needs: [],
    run(user) {
      const { rig } = user;
      const [here, there] = [user.device('b'), user.bind(rig.device('b', rig.addUnit()))];
      const ioas = user.ioas();
      const first = user.map(ioas, BASE, PAGE);
      const id = here.object.attach(ioas);
      refuses('EINVAL', () => there.object.attach(id), "attaching to another unit's HWPT");
      ok(there.object.attach(ioas) !== id, 'two units share an HWPT');
      const second = user.map(ioas, BASE + PAGE, PAGE);
      for (const { dma } of [here, there]) {
        dma.reaches(BASE, first.pa);
        dma.reaches(BASE + PAGE, second.pa);
      }
      equal(user.unmap(ioas, BASE, PAGE), PAGE, 'bytes unmapped');
      for (const { dma } of [here, there]) {
        dma.refused('read', BASE, { reason: 'not-present', reported: 'any' });
        dma.reaches(BASE + PAGE, second.pa);
      }
    },
  },
  {
    id: 'pasid',
    title: 'a PASID is attached, replaced and detached beside the device itself',
    needs: ['pasid'],
    run(user) {
      const bound = user.device('pasid');
      const { object, dma } = bound;
      const [a, b] = [user.ioas(), user.ioas()];
      const [inA, inB] = [user.map(a, BASE, PAGE), user.map(b, BASE, PAGE)];
      const [own, first, second] = [a, a, b].map((ioas) => user.hwpt(bound, ioas, { flags: PASID })) as [
        number,
        number,
        number,
      ];
      object.attach(own);
      equal(object.attach(first, 3), first, 'HWPT of the PASID');
      dma.reaches(BASE, inA.pa, { pasid: 3 });
      refuses('EBUSY', () => object.attach(first, 3), 'attaching a PASID twice');
      equal(object.replace(second, 3), second, 'HWPT of the PASID after the replace');
      dma.reaches(BASE, inB.pa, { pasid: 3 });
      dma.reaches(BASE, inA.pa);
      user.refused('EBUSY', DESTROY, { id: second }, "destroying a PASID's HWPT");
      object.detach(3);
      object.detach(3);
      dma.refused('read', BASE, { pasid: 3, reported: 'any' });
      dma.reaches(BASE, inA.pa);
      user.ask(DESTROY, { id: second });
    },
    without(user) {
      const bound = user.device('pasid');
      const ioas = user.ioas();
      user.refused('EOPNOTSUPP', HWPT_ALLOC, { dev_id: bound.object.id, pt_id: ioas, flags: PASID }, 'PASID HWPT');
      const plain = user.hwpt(bound, ioas);
      refuses(['EINVAL', 'EOPNOTSUPP'], () => bound.object.attach(plain, 3), 'attaching a PASID');
      equal(user.ask(GET_HW_INFO, { dev_id: bound.object.id }).out_max_pasid_log2, 0, 'PASIDs of the device');
    },
  },
  {
    id: 'pasid-rules',
    title: 'PASIDs go only with HWPTs made for them, on the PASID and on the device itself',
    needs: ['pasid'],
    run(user) {
      const bound = user.device('pasid');
      const { object, dma } = bound;
      const ioas = user.ioas();
      const { pa } = user.map(ioas, BASE, PAGE);
      const plain = user.hwpt(bound, ioas);
      const able = user.hwpt(bound, ioas, { flags: PASID });
      refuses('EINVAL', () => object.attach(ioas, 3), 'a PASID on an IOAS');
      refuses('EINVAL', () => object.attach(plain, 3), 'a PASID on a plain HWPT');
      refuses('EINVAL', () => object.attach(able, dma.device.maxPasids), 'a PASID out of range');
      object.attach(plain);
      refuses('EINVAL', () => object.attach(able, 3), 'a PASID beside a plain HWPT');
      object.replace(able);
      object.attach(able, 3);
      refuses('EINVAL', () => object.replace(plain), 'a plain HWPT beside a PASID');
      dma.reaches(BASE, pa, { pasid: 3 });
      dma.reaches(BASE, pa);
      object.detach(3);
      object.replace(plain);
      dma.reaches(BASE, pa);
    },
  },
]);
