import type { DumpSupport } from '@iommukit/core';
import { FRAME_BYTES } from '../format/registers.ts';
import { SmmuHardware } from '../hardware/hardware.ts';
import { SmmuDump } from './reader.ts';

/** Both pages of the frame, whole. */
export const dumpSupport: DumpSupport = {
  frameBytes: FRAME_BYTES,
  pciIds: true,
  open(memory, frame) {
    const hardware = new SmmuHardware({ memory, irq: {}, defer: () => {} }, {});
    hardware.wake(frame);
    return new SmmuDump(memory, hardware);
  },
};
