import type { Errno, NativeInvalidation } from '@iommukit/core';
import { casesOf } from '../case.ts';
import { equal, errnoOf, invalidationOf, ok, refuses } from '../expect.ts';
import type { Nest } from '../rig/nest.ts';
import type { Rig } from '../rig/rig.ts';
import type { RigDevice } from '../rig/rig-device.ts';
import { BASE } from './scene.ts';

const PAGE = 0x1000n;

function guest(rig: Rig): { readonly device: RigDevice; readonly nest: Nest } {
  const device = rig.device('a');
  const nest = rig.nest(device);
  device.attach(nest.domain);
  return { device, nest };
}

/** Batches of one type and entry length, one after the other. */
function concat(...batches: NativeInvalidation[]): NativeInvalidation {
  const { type, entryLength } = batches[0]!;
  const bytes = new Uint8Array(batches.reduce((sum, one) => sum + one.bytes.length, 0));
  let at = 0;
  for (const one of batches) {
    bytes.set(one.bytes, at);
    at += one.bytes.length;
  }
  return { type, entryLength, entryCount: bytes.length / entryLength, bytes };
}

export const nativeInvalidation = casesOf('native-invalidation', [
  {
    id: 'counts',
    title: 'a good batch is carried out whole, and counts its entries',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      for (let i = 0n; i < 4n; i++) device.reaches(BASE + i * PAGE, nest.page(BASE + i * PAGE));
      for (let i = 0n; i < 4n; i++) nest.stage1.unmap(BASE + i * PAGE);
      const batch = concat(...[0n, 1n, 2n, 3n].map((i) => nest.stage1.invalidatePage(BASE + i * PAGE)));
      const { done, errno } = invalidationOf(() => nest.invalidate(batch));
      equal(errno, null, 'errno');
      equal(done, batch.entryCount, 'entries done');
      for (let i = 0n; i < 4n; i++) device.refused('read', BASE + i * PAGE, { reason: 'not-present' });
    },
  },
  {
    id: 'bad-entries',
    title: 'malformed entries are refused with their errno and do nothing',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      device.reaches(BASE, pa);
      for (const { title, value, errno } of nest.kit.badInvalidations(nest.virtualId)) {
        const result = invalidationOf(() => nest.invalidate(value));
        equal(result.errno, errno as Errno, `errno: ${title}`);
        equal(result.done, 0, `entries done: ${title}`);
      }
      device.reaches(BASE, pa);
      const { error } = nest.invalidate(nest.stage1.invalidateAll());
      equal(error, null, 'error of a good batch afterwards');
    },
  },
  {
    id: 'stops-at-bad',
    title: 'a batch is carried out up to the first bad entry, and says how far it came',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const good = nest.stage1.invalidatePage(BASE);
      const fits = nest.kit
        .badInvalidations(nest.virtualId)
        .filter(
          ({ value }) => value.type === good.type && value.entryLength === good.entryLength && value.entryCount === 1,
        );
      ok(fits.length > 0, 'the guest kit has no bad entry that fits in a batch');
      for (const { title, value, errno } of fits) {
        device.reaches(BASE, nest.page(BASE));
        const kept = nest.page(BASE + PAGE);
        device.reaches(BASE + PAGE, kept);
        nest.stage1.unmap(BASE);
        const batch = concat(good, value, nest.stage1.invalidatePage(BASE + PAGE));
        const result = invalidationOf(() => nest.invalidate(batch));
        equal(result.errno, errno as Errno, `errno: ${title}`);
        equal(result.done, good.entryCount, `entries done: ${title}`);
        device.refused('read', BASE, { reason: 'not-present' });
        nest.stage1.unmap(BASE + PAGE);
        nest.invalidate(nest.stage1.invalidateAll());
      }
    },
  },
  {
    id: 'empty',
    title: 'an empty batch of the right type succeeds and does nothing',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const pa = nest.page(BASE);
      device.reaches(BASE, pa);
      const { type, entryLength } = nest.stage1.invalidateAll();
      const { done, error } = nest.invalidate({ type, entryLength, entryCount: 0, bytes: new Uint8Array(0) });
      equal(error, null, 'error');
      equal(done, 0, 'entries done');
      device.reaches(BASE, pa);
    },
  },
  {
    id: 'sizes',
    title: 'lengths and counts out of range are EINVAL',
    needs: ['nest-parent'],
    run(rig) {
      const { nest } = guest(rig);
      const good = nest.stage1.invalidateAll();
      const bad: readonly [string, Partial<NativeInvalidation>][] = [
        ['no length', { entryLength: 0 }],
        ['a length of 4097', { entryLength: 4097, bytes: new Uint8Array(4097) }],
        ['too many entries', { entryCount: (1 << 19) + 1 }],
        ['bytes missing', { bytes: good.bytes.subarray(1) }],
      ];
      for (const [title, change] of bad)
        equal(invalidationOf(() => nest.invalidate({ ...good, ...change })).errno, 'EINVAL', title);
    },
  },
  {
    id: 'detached',
    title: 'invalidation works, and hurts nobody, while nothing is attached',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      device.reaches(BASE, nest.page(BASE));
      device.detach();
      nest.stage1.unmap(BASE);
      const { error } = nest.invalidate(nest.stage1.invalidateAll());
      equal(error, null, 'error');
      device.attach(nest.domain);
      device.refused('read', BASE, { reason: 'not-present' });
    },
  },
  {
    id: 'virtual-ids',
    title: 'virtual ids are one to one, and a vIOMMU with ids is not freed',
    needs: ['viommu'],
    run(rig) {
      const { device, nest } = guest(rig);
      const { viommu } = nest;
      ok(viommu !== null, 'the vendor has vIOMMUs, but its guest kit uses none');
      const b = rig.device('b');
      refuses('EEXIST', () => viommu.setVirtualId(b.device, nest.virtualId), 'an id that is taken');
      refuses('EEXIST', () => viommu.setVirtualId(device.device, 77n), 'a second id for a device');
      viommu.setVirtualId(b.device, 77n);
      viommu.clearVirtualId(b.device);
      refuses('ENOENT', () => viommu.clearVirtualId(b.device), 'clearing it again');
      const stranger = rig.device('b', rig.addUnit());
      refuses('EINVAL', () => viommu.setVirtualId(stranger.device, 78n), 'a device of another unit');
      refuses('EINVAL', () => viommu.allocNested(stranger.device, nest.stage1.data), 'a guest of another unit');
    },
    without(rig) {
      if (!rig.has('nest-parent')) return;
      const { device, nest } = guest(rig);
      const stranger = rig.device('b', rig.addUnit());
      refuses('EINVAL', () => nest.alloc(nest.stage1.data, stranger), 'a guest of another unit');
      equal(
        errnoOf(() => device.replace(nest.parent)),
        null,
        'going to the parent',
      );
    },
  },
  {
    id: 'long-batch',
    title: 'a batch longer than any chunk is carried out whole, or exactly up to its bad entry',
    needs: ['nest-parent'],
    run(rig) {
      const { device, nest } = guest(rig);
      const { stage1 } = nest;
      const count = 200;
      const pages = Array.from({ length: count }, (_, i) => BASE + PAGE * BigInt(i));
      const one = stage1.invalidatePage(BASE);
      const bad = nest.kit
        .badInvalidations(nest.virtualId)
        .find(
          ({ value }) => value.type === one.type && value.entryLength === one.entryLength && value.entryCount === 1,
        );
      ok(bad !== undefined, 'the guest kit has no bad entry that fits in a batch');
      const places = pages.map((iova) => nest.page(iova));
      const warm = () => pages.forEach((iova, i) => void equal(device.glance(iova), places[i], 'translation'));
      warm();
      for (const iova of pages) stage1.unmap(iova);
      const good = concat(...pages.map((iova) => stage1.invalidatePage(iova)));
      const cut = concat(...pages.slice(0, 133).map((iova) => stage1.invalidatePage(iova)), bad.value, good);
      const stopped = invalidationOf(() => nest.invalidate(cut));
      equal(stopped.errno, bad.errno as Errno, 'errno');
      equal(stopped.done, 133 * one.entryCount, 'entries done');
      for (const iova of pages.slice(0, 133)) equal(device.glance(iova), null, 'translation after its invalidation');
      const whole = invalidationOf(() => nest.invalidate(good));
      equal(whole.errno, null, 'errno');
      equal(whole.done, good.entryCount, 'entries done');
      for (const iova of pages) equal(device.glance(iova), null, 'translation after its invalidation');
      rig.settle();
    },
  },
]);
