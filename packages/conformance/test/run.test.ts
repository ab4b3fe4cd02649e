import { armSmmuV3 } from '@iommukit/arm-smmuv3';
import { CAPABILITIES, type VendorPlugin } from '@iommukit/core';
import { intelVtd } from '@iommukit/intel-vtd';
import { virtioIommu } from '@iommukit/virtio-iommu';
import { describe, expect, test } from 'vitest';
import { replayDifferences } from '../src/boundary.ts';
import { cases } from '../src/cases/index.ts';
import { type CaseResult, listCases, mergeReports, runConformance } from '../src/index.ts';
import { mutateDriver, mutateHardware } from '../src/mutants/mutant.ts';
import { discover } from '../src/run.ts';
import { toyOnParent, toyVendor } from '../src/toy/index.ts';

const filter = 'attach/*';
const keyOf = ({ vendor, config, id }: CaseResult) => `${vendor} ${config} ${id}`;

describe('the suite', () => {
  test('has at least 40 cases, each with an id of its own', () => {
    expect(cases.length).toBeGreaterThanOrEqual(40);
    expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
    for (const { id, title } of cases) {
      expect(id).toMatch(/^[a-z-]+\/[a-z0-9-]+$/);
      expect(title.length).toBeGreaterThan(10);
    }
  });

  test('asks only for capabilities that exist', () => {
    for (const { needs } of cases) expect(CAPABILITIES).toEqual(expect.arrayContaining([...needs]));
  });

  test('has no case that no vendor runs, and none whose other half no vendor runs', () => {
    const vendors = [toyVendor, toyOnParent, armSmmuV3, intelVtd, virtioIommu];
    const found = vendors.flatMap((vendor) => vendor.configs.map((config) => discover(vendor, config)));
    const units = found.flatMap((one) => (one instanceof Error ? [] : [one]));
    expect(units).toHaveLength(found.length);
    for (const { id, needs, without } of cases) {
      const able = units.filter((has) => needs.every((need) => has.has(need))).length;
      expect(able, `${id} runs nowhere`).toBeGreaterThan(0);
      if (without) expect(able, `the other half of ${id} runs nowhere`).toBeLessThan(units.length);
    }
  });

  test('names no vendor', () => {
    expect(JSON.stringify(cases.map(({ run, without }) => [String(run), String(without)]))).not.toMatch(
      /arm-smmuv3|intel-vtd|virtio-iommu|['"]toy['"]/,
    );
  });
});

describe('runConformance', () => {
  test('has the shape of the contract', () => {
    const report = runConformance({ vendors: [toyVendor], filter, config: 'everything' });
    expect(Object.keys(report)).toEqual(['cases', 'summary']);
    expect(Object.keys(report.cases[0]!)).toEqual([
      'vendor',
      'config',
      'id',
      'title',
      'status',
      'reason',
      'spec',
      'durationMs',
    ]);
    expect(report.summary).toEqual({ pass: report.cases.length, fail: 0, skip: 0 });
  });

  test('runs what the filter matches; a star crosses slashes', () => {
    expect(listCases('*stale*').map(({ id }) => id)).toEqual(['unmap/no-stale-translation']);
    expect(listCases('replace/same').map(({ id }) => id)).toEqual(['replace/same']);
    expect(listCases('nothing*')).toEqual([]);
    expect(listCases()).toHaveLength(cases.length);
  });

  test('a skipped case says what it needs', () => {
    const { cases: results } = runConformance({ vendors: [toyVendor], filter: 'pasid/replace', config: 'nothing' });
    expect(results).toMatchObject([{ status: 'skip', reason: 'needs pasid' }]);
  });

  test('tells of each result as it comes', () => {
    const told: CaseResult[] = [];
    const { cases: results } = runConformance({ vendors: [toyVendor], filter, onResult: (one) => told.push(one) });
    expect(told).toEqual(results);
  });

  test('shards are disjoint, complete, and merge into the whole', () => {
    const options = { vendors: [toyVendor], filter };
    const whole = runConformance(options);
    const parts = [1, 2, 3].map((index) => runConformance({ ...options, shard: { index, count: 3 } }));
    const keys = parts.flatMap(({ cases: results }) => results.map(keyOf));
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.sort()).toEqual(whole.cases.map(keyOf).sort());
    const merged = mergeReports(parts);
    expect(merged.summary).toEqual(whole.summary);
    expect(mergeReports([merged, parts[0]!]).cases).toHaveLength(whole.cases.length);
    expect(mergeReports([...parts].reverse()).cases.map(keyOf)).toEqual(merged.cases.map(keyOf));
  });

  test.each([
    [0, 3],
    [4, 3],
    [1, 0],
    [1.5, 2],
  ])('shard %d/%d does not exist', (index, count) => {
    expect(() => runConformance({ vendors: [], shard: { index, count } })).toThrow(RangeError);
  });

  test("a crash in one case is that case's failure", () => {
    const broken = mutateDriver(toyVendor, (driver) => {
      driver.hwInfo = () => {
        throw new TypeError('bang');
      };
    });
    const { cases: results, summary } = runConformance({
      vendors: [broken],
      filter: '{information/hw-info,attach/*}',
      config: 'everything',
    });
    expect(summary.fail).toBe(1);
    const failed = results.find(({ status }) => status === 'fail')!;
    expect(failed.id).toBe('information/hw-info');
    expect(failed.reason).toMatch(/^hardware at once: TypeError: bang \(at /);
    expect(failed.reason).not.toContain('\n');
  });

  test('a vendor whose unit does not come up fails every case and stops nobody', () => {
    const dead: VendorPlugin = {
      ...toyVendor,
      id: 'dead',
      createHardware() {
        throw new Error('no power');
      },
    };
    const { cases: results } = runConformance({ vendors: [dead, toyVendor], filter, config: 'everything' });
    const ofDead = results.filter(({ vendor }) => vendor === 'dead');
    expect(ofDead.every(({ status, reason }) => status === 'fail' && reason!.includes('no power'))).toBe(true);
    expect(results.filter(({ vendor }) => vendor === 'toy').every(({ status }) => status === 'pass')).toBe(true);
  });

  test('without caches a forgotten invalidation goes unnoticed, which is what tells it from other mistakes', () => {
    const forgetful = mutateDriver(toyVendor, (driver) => {
      const alloc = driver.allocPaging.bind(driver);
      driver.allocPaging = (...args) => {
        const domain = alloc(...args);
        domain.syncUnmap = () => {};
        return domain;
      };
    });
    const options = { vendors: [forgetful], filter: 'unmap/neighbours-stay', config: 'everything' };
    expect(runConformance(options).summary.fail).toBe(1);
    expect(runConformance({ ...options, caches: 'none' }).summary.fail).toBe(0);
    expect(runConformance({ vendors: [toyVendor], config: 'everything', caches: 'none' }).summary.fail).toBe(0);
  });

  test('a failure names the schedule it needs', () => {
    const hasty = mutateDriver(toyVendor, (driver) => {
      const probe = driver.probe.bind(driver);
      driver.probe = () => {
        probe();
        (driver as unknown as { unit: { commands: { wait(): void } } }).unit.commands.wait = () => {};
      };
    });
    const { cases: results } = runConformance({ vendors: [hasty], filter: 'attach/after-*', config: 'everything' });
    expect(results[0]!.reason).toMatch(/^hardware 3 polls later: /);
  });

  test('memory that a case leaves behind is its failure', () => {
    const leaky = mutateDriver(toyVendor, (driver) => {
      const release = driver.releaseDevice.bind(driver);
      let first = true;
      driver.releaseDevice = (device) => {
        if (!first) release(device);
        first = false;
      };
    });
    const { cases: results } = runConformance({ vendors: [leaky], filter: 'attach/busy', config: 'everything' });
    expect(results[0]!.reason).toContain('pages that nobody gave back');
  });
});

describe('the replay without a driver', () => {
  test('finds a vendor whose halves meet by another road', () => {
    const secret = new Set<number>();
    const smuggler = mutateHardware(
      mutateDriver(toyVendor, (driver) => {
        const probe = driver.probeDevice.bind(driver);
        driver.probeDevice = (description) => {
          for (const id of description.requesterIds) secret.add(id);
          return probe(description);
        };
        const release = driver.releaseDevice.bind(driver);
        driver.releaseDevice = (device) => {
          release(device);
          for (const id of device.description.requesterIds) secret.delete(id);
        };
      }),
      (hardware) => {
        const translate = hardware.translate.bind(hardware);
        hardware.translate = (request, answer) => {
          translate(request, answer);
          if (!secret.has(request.device)) answer.code = -1;
        };
      },
    );
    expect(replayDifferences(smuggler, toyVendor.configs[0]!)).not.toEqual([]);
    expect(replayDifferences(toyVendor, toyVendor.configs[0]!)).toEqual([]);
  });
});

test('sections of manuals are cited for cases and areas that exist', () => {
  const cited = cases.filter(({ spec }) => spec !== undefined);
  expect(cited.length).toBeGreaterThan(80);
  for (const { spec } of cited)
    for (const section of Object.values(spec!)) expect(section).toMatch(/^\S.* \d[\d., ]*$/);
  const { cases: results } = runConformance({
    vendors: [virtioIommu],
    filter: 'unmap/no-stale-translation',
    config: 'default',
  });
  expect(results[0]!.spec).toBe('virtio 1.3 5.13.6.6');
});
