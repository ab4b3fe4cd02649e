import { armSmmuV3 } from '@iommukit/arm-smmuv3';
import type { VendorPlugin } from '@iommukit/core';
import { intelVtd } from '@iommukit/intel-vtd';
import { virtioIommu } from '@iommukit/virtio-iommu';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/index.ts';
import { type Bed, fakeBed, vendorBed } from './bed.ts';
import { NOTHING, Run, Stopped, type Trouble } from './run.ts';
import { SCRIPTS, type Script } from './scripts.ts';

const ofVendor = (plugin: VendorPlugin, ...names: string[]): (() => Bed)[] =>
  plugin.configs.filter(({ name }) => names.includes(name)).map((config) => () => vendorBed(plugin, config));

const beds: readonly (() => Bed)[] = [
  fakeBed,
  ...ofVendor(armSmmuV3, 'nested-4k', 's2-4k'),
  ...ofVendor(intelVtd, 'scalable-nested', 'legacy-4level'),
  ...ofVendor(virtioIommu, 'default'),
];

/** Plays a script until the trouble stops it. True when the trouble came. */
function play(bed: Bed, { play: script }: Script, trouble: Trouble): { came: boolean; uses: number } {
  const run = new Run(bed, trouble);
  let stopped = false;
  try {
    script(run);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    stopped = true;
  }
  const came = trouble.use ? !run.context.injector.armed : trouble.write ? run.wrote : stopped;
  const { uses } = run.context.injector;
  run.close();
  expect(run.leftovers).toEqual(NOTHING);
  return { came, uses };
}

/** Twice, so that what drivers keep for a device from its first attach on is there. */
function warm(bed: Bed, script: Script): { native: number; uses: number } {
  play(bed, script, {});
  const { uses } = play(bed, script, {});
  return { native: bed.native(), uses };
}

function sweep(bed: Bed, script: Script, trouble: (n: number) => Trouble): number {
  const { native } = warm(bed, script);
  for (let n = 1; ; n++) {
    const { came } = play(bed, script, trouble(n));
    expect(bed.native(), `native entries after failure ${n}`).toBe(native);
    if (!came) return n - 1;
  }
}

describe.each(beds.map((make) => ({ name: make().name, make })))('$name', ({ make }) => {
  const { able } = make();
  const scripts = SCRIPTS.filter(({ on }) => on === undefined || on(able));

  test.each(scripts)('$title: any use of a failure point', (script) => {
    const bed = make();
    const { uses } = warm(bed, script);
    expect(uses).toBeGreaterThan(2);
    expect(sweep(bed, script, (use) => ({ use }))).toBe(uses);
  });

  test.each(scripts)("$title: any write to the caller's memory", (script) => {
    expect(sweep(make(), script, (write) => ({ write }))).toBeGreaterThan(0);
  });

  test.each(make().failNative ? scripts : [])("$title: any allocation of the driver's", (script) => {
    sweep(make(), script, (native) => ({ native }));
  });
});

test('the scripts make every command and every object', () => {
  const text = SCRIPTS.map(({ play: script }) => String(script)).join();
  const named = COMMANDS.filter(({ struct, name }) => {
    const short = name.replace('IOMMU_', '');
    return (
      !new RegExp(`\\b${short}\\b`).test(text) &&
      struct.name !== 'iommu_hwpt_alloc' &&
      struct.name !== 'iommu_ioas_alloc'
    );
  });
  expect(named.map(({ name }) => name)).toEqual(['IOMMU_VIOMMU_ALLOC']);
});
