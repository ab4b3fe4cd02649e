import type { VendorConfig, VendorPlugin } from '@iommukit/core';
import { Machine, record, replay, type Schedule } from '@iommukit/machine';
import type { Case } from './case.ts';
import { cases } from './cases/index.ts';
import { Rig } from './rig/rig.ts';
import { discover } from './run.ts';

/** A run that makes both halves do most of what they can. Cases that reach past the board's ports cannot be recorded. */
const RECORDED: readonly string[] = [
  'lifecycle/comes-back',
  'lifecycle/all-ids-of-a-device',
  'attach/tag-reuse',
  'attach/identity',
  'replace/switches',
  'group/late-member',
  'map/far-apart',
  'permission/change',
  'unmap/odd-range',
  'page-sizes/mixed',
  'invalidation/ring-wraps',
  'isolation/two-units',
  'fault/flood',
  'pasid/two-pasids',
  'dirty/clears',
  'nested/host-unmaps',
  'native-invalidation/counts',
  'random/map-unmap-1',
  'random/attach-1',
];

const SCHEDULES: readonly Schedule[] = ['at-once', { afterPolls: 2 }, { seed: 7 }];

/** Where a replay without any driver differed from the recorded runs; empty when the boundary holds. */
export function replayDifferences(plugin: VendorPlugin, config: VendorConfig): string[] {
  const capabilities = discover(plugin, config);
  if (capabilities instanceof Error) return [`the unit does not come up: ${capabilities.message}`];
  const chosen = cases.filter(
    ({ id, needs }) => RECORDED.includes(id) && needs.every((need) => capabilities.has(need)),
  );
  return chosen.flatMap((one, i) => replayed(plugin, config, one, SCHEDULES[i % SCHEDULES.length]!));
}

function replayed(plugin: VendorPlugin, config: VendorConfig, { id, run }: Case, schedule: Schedule): string[] {
  const machine = new Machine({ schedule, record: true });
  const recording = record(machine);
  const rig = new Rig(plugin, config, { schedule, machine });
  run(rig);
  rig.dispose();
  const { differences } = replay(recording.take(), driverless(plugin), config);
  return differences.map(({ what, recorded, replayed: found }) => `${id}: ${what}: ${found}, not ${recorded}`);
}

/** The vendor with no driver to be had: a replay that asks for one fails. */
const driverless = (plugin: VendorPlugin): VendorPlugin => ({
  ...plugin,
  createDriver() {
    throw new Error('a replay has no driver');
  },
});
