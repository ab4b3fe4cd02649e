import type { Domain, PagingDomain } from '@iommukit/core';
import type { Nest } from '../rig/nest.ts';
import type { Rig } from '../rig/rig.ts';
import type { RigDevice } from '../rig/rig-device.ts';
import type { Scenario } from './scenario.ts';

/** What the steps of one scenario share: the board, and what the names mean on it. */
export class World {
  readonly rig: Rig;
  readonly devices = new Map<string, RigDevice>();
  readonly domains = new Map<string, Domain>();
  readonly guests = new Map<string, Nest>();

  constructor(rig: Rig, { devices }: Scenario) {
    this.rig = rig;
    for (const [name, { requesterId, ...rest }] of Object.entries(devices)) {
      const description = { name, requesterIds: [requesterId], ats: false, pri: false, busLimits: [], ...rest };
      this.devices.set(name, rig.plug(description));
    }
  }

  device(name: string): RigDevice {
    return this.devices.get(name)!;
  }

  domain(name: string, device: RigDevice): Domain {
    if (name === 'identity') return device.device.group.identity;
    if (name === 'blocked') return device.device.group.blocked;
    return this.domains.get(name)!;
  }

  paging(name: string): PagingDomain {
    const domain = this.domains.get(name);
    if (domain?.kind !== 'paging') throw new RangeError(`'${name}' is no domain that can be mapped`);
    return domain as PagingDomain;
  }

  guest(name: string): Nest {
    return this.guests.get(name)!;
  }
}
