import { type Capability, type DriverPorts, IommuError } from '@iommukit/core';
import { CAPS, REGISTERS, TOY_ID } from '../format/registers.ts';

/** What the unit can do, as its registers say. */
export interface ToyFeatures {
  readonly capabilities: ReadonlySet<Capability>;
  readonly outputBits: number;
  readonly largePages: boolean;
  /** The identification registers as they read. */
  readonly id: number;
  readonly caps: number;
}

/** Reads the identification registers. ENODEV: not a toy. */
export function readFeatures({ mmio }: DriverPorts): ToyFeatures {
  const id = mmio.read32(REGISTERS.ID.at);
  if (id !== TOY_ID) throw new IommuError('ENODEV', `ID register reads 0x${id.toString(16)}`);
  const caps = mmio.read32(REGISTERS.CAPS.at);
  const found = CAPS.decode([caps]);
  const offers: readonly [boolean, Capability][] = [
    [found.NEST, 'nest-parent'],
    [found.NEST && !found.VIRTUAL, 'nested-on-parent'],
    [found.NEST && found.VIRTUAL, 'viommu'],
    [found.PASID, 'pasid'],
    [found.DIRTY, 'dirty-tracking'],
    [found.INFO, 'hw-info'],
    [found.SNOOP, 'enforce-cache-coherency'],
    [found.WRITE_ONLY, 'write-only-mapping'],
    [found.EXECUTE, 'execute-permission'],
    [found.LARGE, 'large-pages'],
    [found.REPORT, 'reports-blocked'],
    [found.BYPASS, 'identity-passthrough'],
  ];
  const capabilities = new Set(offers.filter(([has]) => has).map(([, name]) => name));
  return { capabilities, outputBits: found.OUTPUT_BITS, largePages: found.LARGE, id, caps };
}
