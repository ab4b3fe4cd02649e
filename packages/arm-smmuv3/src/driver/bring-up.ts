import { type DriverPorts, type InterruptSource, isIommuError } from '@iommukit/core';
import {
  CR0,
  CR1,
  CR2,
  GBPA,
  GERROR,
  INTERRUPT,
  IRQ_CFG0,
  IRQ_CFG2,
  IRQ_CTRL,
  REGISTERS,
} from '../format/registers.ts';
import { cfgiAll, tlbiEl2All, tlbiNsnhAll } from './commands.ts';
import { waitFor, writeAndWait } from './poll.ts';
import type { Smmu } from './smmu.ts';

const { CR0: AT_CR0, CR0ACK, IRQ_CTRL: AT_IRQ_CTRL, IRQ_CTRLACK } = REGISTERS;
/** Inner shareable write-back for tables and queues. */
const [TABLES_AND_QUEUES] = CR1.encode({
  QUEUE_IC: 1,
  QUEUE_OC: 1,
  QUEUE_SH: 3,
  TABLE_IC: 1,
  TABLE_OC: 1,
  TABLE_SH: 3,
});
/** Faults of unknown StreamIDs are recorded; broadcast TLB maintenance of the CPUs is not for us. */
const [RECORD_PRIVATE] = CR2.encode({ RECINVSID: true, PTM: true });
/** Device-nGnRE, as a doorbell wants it. */
const [MSI_ATTRIBUTES] = IRQ_CFG2.encode({ MemAttr: 1 });
const [UPDATE] = GBPA.encode({ Update: true });
const [ABORT] = GBPA.encode({ ABORT: true });
const [SMMUEN] = CR0.encode({ SMMUEN: true });

/** Switches off a unit that may be running: nothing of it is known yet. Throws IommuError ETIMEDOUT. */
export function disable(ports: DriverPorts): void {
  const { mmio } = ports;
  if (mmio.read32(AT_CR0.at) & SMMUEN!) refuseInBypass(ports);
  writeAndWait(ports, AT_CR0.at, CR0ACK.at, 0);
}

/**
 * Brings a disabled unit up, every stream refused (IHI 0070 3.11, 6.3): tables and queues are in place and all caches
 * are empty before SMMUEN lets the first transaction look at them. Throws IommuError ETIMEDOUT.
 */
export function enable(smmu: Smmu): void {
  const { ports, queue, events, features } = smmu;
  const { mmio } = ports;
  mmio.write32(REGISTERS.CR1.at, TABLES_AND_QUEUES!);
  mmio.write32(REGISTERS.CR2.at, RECORD_PRIVATE!);
  smmu.streams.program();
  mmio.write32(REGISTERS.GERRORN.at, mmio.read32(REGISTERS.GERROR.at));
  queue.program();
  writeCr0(ports, { CMDQEN: true });
  cfgiAll(queue);
  queue.sync();
  if (features.hyp) tlbiEl2All(queue);
  if (features.hyp) queue.sync();
  tlbiNsnhAll(queue);
  queue.sync();
  events.program();
  writeCr0(ports, { CMDQEN: true, EVENTQEN: true });
  interrupts(smmu);
  writeCr0(ports, { CMDQEN: true, EVENTQEN: true, SMMUEN: true });
}

/** Takes a unit down for good: no translation, no queues, no interrupts. Throws IommuError ETIMEDOUT. */
export function shutDown({ ports }: Smmu): void {
  writeAndWait(ports, AT_IRQ_CTRL.at, IRQ_CTRLACK.at, 0);
  ports.irq[INTERRUPT.EVENTQ]?.handle(null);
  ports.irq[INTERRUPT.GERROR]?.handle(null);
  writeAndWait(ports, AT_CR0.at, CR0ACK.at, 0);
}

function writeCr0(ports: DriverPorts, values: Parameters<typeof CR0.encode>[0]): void {
  writeAndWait(ports, AT_CR0.at, CR0ACK.at, CR0.encode(values)[0]!);
}

/** What passes while SMMUEN is off follows GBPA: abort, so that nobody's old translations become free passage. */
function refuseInBypass(ports: DriverPorts): void {
  const at = REGISTERS.GBPA.at;
  const settled = () => (ports.mmio.read32(at) & UPDATE!) === 0;
  waitFor(ports, settled, 'GBPA');
  ports.mmio.write32(at, (ports.mmio.read32(at) | ABORT! | UPDATE!) >>> 0);
  waitFor(ports, settled, 'GBPA.Update');
}

function interrupts(smmu: Smmu): void {
  const { ports, events } = smmu;
  const { irq } = ports;
  writeAndWait(ports, AT_IRQ_CTRL.at, IRQ_CTRLACK.at, 0);
  const eventq = irq[INTERRUPT.EVENTQ];
  const gerror = irq[INTERRUPT.GERROR];
  if (smmu.features.msi) {
    programMsi(smmu, REGISTERS.EVENTQ_IRQ_CFG0.at, eventq);
    programMsi(smmu, REGISTERS.GERROR_IRQ_CFG0.at, gerror);
  }
  eventq?.handle(() => events.onInterrupt());
  gerror?.handle(() => acknowledgeErrors(smmu));
  writeAndWait(
    ports,
    AT_IRQ_CTRL.at,
    IRQ_CTRLACK.at,
    IRQ_CTRL.encode({ EVENTQ_IRQEN: eventq !== undefined, GERROR_IRQEN: gerror !== undefined })[0]!,
  );
}

/** CFG0..2 of one interrupt; an address of 0 means no message. */
function programMsi({ ports: { mmio } }: Smmu, at: number, source: InterruptSource | undefined): void {
  const msi = source?.msi ?? null;
  const [lo, hi] = IRQ_CFG0.encode({ ADDR: msi?.address ?? 0n });
  mmio.write64(at, (BigInt(hi!) << 32n) | BigInt(lo!));
  mmio.write32(at + 8, msi?.data ?? 0);
  mmio.write32(at + 12, MSI_ATTRIBUTES!);
}

/** Global errors: the command queue is repaired, the rest can only be acknowledged (events or messages were lost). */
function acknowledgeErrors({ ports: { mmio }, queue, events }: Smmu): void {
  try {
    queue.recover();
  } catch (error) {
    if (!isIommuError(error)) throw error; // the queue is beyond repair: whoever waits for it will time out
  }
  const gerror = mmio.read32(REGISTERS.GERROR.at);
  const gerrorn = mmio.read32(REGISTERS.GERRORN.at);
  const cmdq = 1 << GERROR.fields.CMDQ_ERR.lsb;
  const others = (gerror ^ gerrorn) & ~cmdq;
  if (others !== 0) mmio.write32(REGISTERS.GERRORN.at, (gerrorn ^ others) >>> 0);
  if (others & (1 << GERROR.fields.EVENTQ_ABT_ERR.lsb)) events.onInterrupt();
}
