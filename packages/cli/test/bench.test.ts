import { virtioIommu } from '@iommukit/virtio-iommu';
import { expect, test } from 'vitest';
import { FIGURES } from '../src/bench/figures.ts';
import { bareFill, bareLoads, bareLookup, bareQueue, bareWalk } from '../src/bench/limits.ts';
import { bytesPerOp, measureTogether } from '../src/bench/measure.ts';
import { farApart, neighbours } from '../src/bench/pages.ts';
import { chosenFigures } from '../src/bench/run.ts';
import { run } from './run.ts';

test('pages far apart are aligned, inside the range, and each behind a root entry of its own', () => {
  const { iovas, hi, lo, length } = farApart(256, (1n << 48n) - 1n);
  expect(new Set(iovas.map((iova) => iova >> 39n)).size).toBe(256);
  for (const [at, iova] of iovas.entries()) {
    expect([iova & 0xfffn, iova >> 48n]).toEqual([0n, 0n]);
    expect((BigInt(hi[at]! >>> 0) << 32n) | BigInt(lo[at]! >>> 0)).toBe(iova);
  }
  expect(length).toBe(256);
});

test('neighbours are every page of the run once, and not in order', () => {
  const { iovas } = neighbours(1000);
  const sorted = [...iovas].sort((a, b) => Number(a - b));
  expect(sorted).toEqual(Array.from({ length: 1000 }, (_, at) => 0x4000_0000n + BigInt(at) * 4096n));
  expect(iovas).not.toEqual(sorted);
});

test('the bare walk finds every page of its set, and the limits take time that grows with the work', () => {
  const pages = farApart(256, (1n << 48n) - 1n);
  expect(() => bareWalk(pages).run(512)).not.toThrow();
  const [few, many] = measureTogether([bareLoads(4), bareLoads(40)]) as [number, number];
  expect(many).toBeGreaterThan(few * 4);
  for (const limit of [bareLookup(neighbours(64)), bareQueue(), bareFill(1)])
    expect(measureTogether([limit])[0]).toBeGreaterThan(0);
});

test('an allocation in the loop is seen, and a loop without one is clean', () => {
  const kept: unknown[] = new Array(1);
  const allocating = (ops: number) => {
    for (let i = 0; i < ops; i++) kept[0] = { i };
  };
  const clean = bareQueue();
  measureTogether([{ run: allocating }, clean]);
  expect(bytesPerOp({ run: allocating })).toBeGreaterThan(12);
  expect(bytesPerOp(clean)).toBeLessThan(0.5);
});

test('a filter matches a name, a vendor, or both', () => {
  const names = (filter: string) => chosenFigures({ vendors: [virtioIommu], filter }).map(({ kind }) => kind.name);
  expect(names('iotlb-*')).toEqual(['iotlb-hit']);
  expect(names('virtio-iommu')).toEqual(FIGURES.map(({ name }) => name));
  expect(names('virtio-iommu/map-unmap-1')).toEqual(['map-unmap-1']);
  expect(names('intel-vtd/*')).toEqual([]);
});

test('json: each figure beside its limit', async () => {
  const argv = ['bench', '--vendor', 'intel-vtd', '--filter', '{iotlb-hit,cold-nested-walk}', '--json'];
  const { code, stdout } = await run(...argv);
  expect(code).toBe(0);
  const { machine, results } = JSON.parse(stdout);
  expect(machine).toMatchObject({ node: process.versions.node, bareWalkNs: expect.any(Number) });
  expect(results.map(({ name }: { name: string }) => name)).toEqual(['iotlb-hit', 'cold-nested-walk']);
  for (const { vendor, nsPerOp, limitName, limitNsPerOp, ratio, bytesPerOp: heap } of results) {
    expect([vendor, typeof limitName, typeof heap]).toEqual(['intel-vtd', 'string', 'number']);
    expect(ratio).toBeCloseTo(nsPerOp / limitNsPerOp, 1);
  }
  expect(results[1].loads).toBe(24);
});

test('a vendor that cannot nest has no such figure, and a filter that matches nothing is exit 2', async () => {
  const none = await run('bench', '--vendor', 'virtio-iommu', '--filter', 'cold-nested-walk', '--json');
  expect(JSON.parse(none.stdout).results).toEqual([]);
  const bad = await run('bench', '--filter', 'absent');
  expect(bad).toMatchObject({ code: 2, stdout: '' });
  expect(bad.stderr).toMatch(/no figure matches 'absent'/);
});

test('the user API has figures of its own: by ioctls on each vendor, and without one', async () => {
  const names = (vendorsOnly: boolean) =>
    chosenFigures({ vendors: [virtioIommu], filter: '*io{ctl,as}-*', vendorsOnly }).map(
      ({ vendor, kind }) => `${vendor}/${kind.name}`,
    );
  expect(names(true)).toEqual(
    FIGURES.filter(({ name }) => name.startsWith('ioctl-')).map(({ name }) => `virtio-iommu/${name}`),
  );
  expect(names(false).filter((name) => name.startsWith('iommufd/ioas-'))).toHaveLength(9);
  const { stdout } = await run('bench', '--filter', '{iommufd/*4k-of-1k,intel-vtd/ioctl-map-unmap-4k}', '--json');
  for (const { nsPerOp, limitNsPerOp } of JSON.parse(stdout).results) {
    expect(limitNsPerOp).toBeGreaterThan(0);
    expect(nsPerOp).toBeGreaterThan(limitNsPerOp);
  }
});
