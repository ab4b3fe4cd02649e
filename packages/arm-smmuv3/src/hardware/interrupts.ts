import type { InterruptLine } from '@iommukit/core';
import { GERROR, INTERRUPT, IRQ_CTRL, REGISTERS } from '../format/registers.ts';
import type { UnitState } from './unit.ts';

const bit = (field: { readonly lsb: number }): number => 1 << field.lsb;
const word = (name: keyof typeof REGISTERS): number => REGISTERS[name].at / 4;

const GERROR_WORD = word('GERROR');
const GERRORN_WORD = word('GERRORN');
const IRQ_ACK = word('IRQ_CTRLACK');

/** Bits of GERROR, by name of the error. */
export const GLOBAL_ERROR = {
  CMDQ: bit(GERROR.fields.CMDQ_ERR),
  EVENTQ_ABT: bit(GERROR.fields.EVENTQ_ABT_ERR),
  PRIQ_ABT: bit(GERROR.fields.PRIQ_ABT_ERR),
  MSI_CMDQ_ABT: bit(GERROR.fields.MSI_CMDQ_ABT_ERR),
  MSI_EVENTQ_ABT: bit(GERROR.fields.MSI_EVENTQ_ABT_ERR),
  MSI_PRIQ_ABT: bit(GERROR.fields.MSI_PRIQ_ABT_ERR),
  MSI_GERROR_ABT: bit(GERROR.fields.MSI_GERROR_ABT_ERR),
} as const;

interface Source {
  readonly line: string;
  readonly cfg0: number;
  readonly enable: number;
  readonly aborted: number;
}

const EVENTQ: Source = {
  line: INTERRUPT.EVENTQ,
  cfg0: word('EVENTQ_IRQ_CFG0'),
  enable: bit(IRQ_CTRL.fields.EVENTQ_IRQEN),
  aborted: GLOBAL_ERROR.MSI_EVENTQ_ABT,
};
const ERRORS: Source = {
  line: INTERRUPT.GERROR,
  cfg0: word('GERROR_IRQ_CFG0'),
  enable: bit(IRQ_CTRL.fields.GERROR_IRQEN),
  aborted: GLOBAL_ERROR.MSI_GERROR_ABT,
};

/** Edges to software, as message or wire, and the global errors they tell of. IHI 0070 3.18 and 7.5. */
export class Interrupts {
  private readonly unit: UnitState;
  private readonly lines: Readonly<Record<string, InterruptLine>>;

  constructor(unit: UnitState, lines: Readonly<Record<string, InterruptLine>>) {
    this.unit = unit;
    this.lines = lines;
  }

  /** The event queue is no longer empty. */
  eventQueue(): void {
    this.signal(EVENTQ);
  }

  /** A CMD_SYNC asked for an interrupt; `hi:lo` is its message address, 0 = wired. */
  sync(hi: number, lo: number, data: number): void {
    if (this.unit.features.msi && (hi | lo) !== 0) {
      if (!this.write(hi, lo, data)) this.raise(GLOBAL_ERROR.MSI_CMDQ_ABT);
    } else this.lines[INTERRUPT.CMDQ_SYNC]?.pulse();
  }

  /** True while software has not acknowledged the error. */
  active(error: number): boolean {
    const { registers } = this.unit;
    return ((registers[GERROR_WORD]! ^ registers[GERRORN_WORD]!) & error) !== 0;
  }

  /** Makes an error active; one that is active already stays as it is. */
  raise(error: number): void {
    if (this.active(error)) return;
    this.unit.registers[GERROR_WORD]! ^= error;
    if (error !== GLOBAL_ERROR.MSI_GERROR_ABT) this.signal(ERRORS);
  }

  private signal(source: Source): void {
    const { registers, features } = this.unit;
    if ((registers[IRQ_ACK]! & source.enable) === 0) return;
    const hi = registers[source.cfg0 + 1]!;
    const lo = registers[source.cfg0]!;
    if (features.msi && (hi | lo) !== 0) {
      if (!this.write(hi, lo, registers[source.cfg0 + 2]!)) this.raise(source.aborted);
    } else this.lines[source.line]?.pulse();
  }

  private write(hi: number, lo: number, data: number): boolean {
    return !this.unit.outside(hi) && this.unit.memory.write32(hi, lo, data);
  }
}
