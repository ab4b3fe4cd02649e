import { type DriverPorts, IommuError, type MmioRegion } from '@iommukit/core';

/** Turns of a polling loop without any progress until the hardware counts as dead. */
export const POLL_LIMIT = 20_000;

/** Writes a control register and waits until its ACK register shows the value. Throws IommuError ETIMEDOUT. */
export function writeAndWait(ports: DriverPorts, offset: number, ack: number, value: number): void {
  ports.mmio.write32(offset, value);
  waitFor(ports, (mmio) => mmio.read32(ack) === value, `register 0x${offset.toString(16)} = 0x${value.toString(16)}`);
}

/** Polls until `done`; each turn is one MMIO access and so moves time. Throws IommuError ETIMEDOUT. */
export function waitFor(ports: DriverPorts, done: (mmio: MmioRegion) => boolean, what: string): void {
  for (let turn = 0; turn < POLL_LIMIT; turn++) {
    if (done(ports.mmio)) return;
    ports.time.relax();
  }
  throw new IommuError('ETIMEDOUT', `the SMMU does not acknowledge ${what}`);
}
