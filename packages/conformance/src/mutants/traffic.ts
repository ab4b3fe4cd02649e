import { Machine } from '@iommukit/machine';
import { Rig } from '../rig/rig.ts';
import { type Job, SCHEDULES } from '../run.ts';

/** What crosses between software, unit and devices while a case runs and passes: register and memory writes, answers. */
export function trafficOf({ vendor, config, case: { run } }: Job): string {
  const lines: string[] = [];
  for (const schedule of SCHEDULES) {
    const machine = new Machine({ schedule, record: true });
    machine.observe({
      write: (unit, offset, size, value) => lines.push(`${unit.id} ${offset} ${size} ${value}`),
      memory: (address, bytes) => lines.push(`${address} ${Buffer.from(bytes).toString('hex')}`),
      dma: (unit, { device, pasid, iovaHi, iovaLo, access }, { outcome, paHi, paLo }) =>
        lines.push(`${unit.id} ${device} ${pasid} ${iovaHi}:${iovaLo} ${access} ${outcome} ${paHi}:${paLo}`),
    });
    const rig = new Rig(vendor, config, { schedule, machine });
    run(rig);
    rig.dispose();
  }
  return lines.join('\n');
}
