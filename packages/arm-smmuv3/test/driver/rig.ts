import type { DeviceDescription, DeviceHandle, IommuDriver, PagingDomainOps, StaticDomainOps } from '@iommukit/core';
import { isIommuError } from '@iommukit/core';
import { createSmmuDriver } from '../../src/driver/driver.ts';
import { deviceWith, type Script, ScriptedSmmu, UNIT } from './scripted-smmu.ts';

export const SYNC = '46000000000000000000000000000000';

export interface Rig {
  readonly smmu: ScriptedSmmu;
  readonly driver: IommuDriver;
  device(sids: readonly number[], more?: Partial<DeviceDescription>): DeviceHandle;
  /** Commands that `run` issued, without SYNCs when `quiet`. */
  commandsOf(run: () => void): string[];
}

/** A driver that is up, with nothing in its trace yet. */
export function rigOf(script: Script): Rig {
  const smmu = new ScriptedSmmu(script);
  const driver = createSmmuDriver(smmu, UNIT);
  driver.probe();
  smmu.takeCommands();
  return {
    smmu,
    driver,
    device: (sids, more) => {
      const handle = driver.probeDevice(deviceWith(sids, more));
      smmu.takeCommands();
      return handle;
    },
    commandsOf: (run) => {
      smmu.takeCommands();
      run();
      return smmu.takeCommands();
    },
  };
}

export function errnoOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return 'none';
}

export const anyDomain = (driver: IommuDriver): StaticDomainOps => driver.blocked;

export const mapOne = (
  domain: PagingDomainOps,
  iova: bigint,
  pa: bigint,
  prot = 3,
  size = 0x1000n,
  count = 1,
): void => {
  const { mapped, error } = domain.mapPages(iova, pa, size, count, prot);
  if (error !== null || mapped !== count) throw error ?? new Error(`mapped ${mapped}`);
};
