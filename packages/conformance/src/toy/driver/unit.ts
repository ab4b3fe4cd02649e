import type { DriverPorts } from '@iommukit/core';
import type { CommandProducer } from './command-producer.ts';
import type { DeviceTable } from './device-table.ts';
import type { Gate } from './gate.ts';
import type { ToyFeatures } from './probe.ts';
import type { Tags } from './tags.ts';

/** What the domains of one running unit share. */
export interface ToyUnit {
  readonly ports: DriverPorts;
  readonly features: ToyFeatures;
  readonly commands: CommandProducer;
  readonly devices: DeviceTable;
  readonly gate: Gate;
  readonly tags: Tags;
  readonly guestTags: Tags;
}
