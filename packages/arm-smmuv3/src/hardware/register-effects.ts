import { type RegisterBehaviour, RegisterFile } from '@iommukit/bits';
import { CR0, CR1, FRAME_BYTES, GBPA, REGISTERS } from '../format/registers.ts';
import type { Features } from './features.ts';

const word = (name: keyof typeof REGISTERS): number => REGISTERS[name].at / 4;
const bit = (field: { readonly lsb: number }): number => 1 << field.lsb;

const CR0_WORD = word('CR0');
const CR0ACK = word('CR0ACK');
const CR1_WORD = word('CR1');
const CR2_WORD = word('CR2');
const GBPA_WORD = word('GBPA');
const IRQ_CTRL = word('IRQ_CTRL');
const IRQ_ACK = word('IRQ_CTRLACK');
const GERROR = word('GERROR');
const GERRORN = word('GERRORN');

const SMMUEN = bit(CR0.fields.SMMUEN);
const PRIQEN = bit(CR0.fields.PRIQEN);
const EVENTQEN = bit(CR0.fields.EVENTQEN);
const CMDQEN = bit(CR0.fields.CMDQEN);
const ATSCHK = bit(CR0.fields.ATSCHK);
const VMW_MASK = 7 << CR0.fields.VMW.lsb;
const UPDATE = bit(GBPA.fields.Update);
const QUEUE_ATTRIBUTES = (1 << CR1.fields.TABLE_IC.lsb) - 1;

/** What register writes set in motion. */
export interface Actions {
  /** CR0, IRQ_CTRL or GBPA was written: {@link Registers.settle} is due. */
  settleLater(): void;
  /** Commands may be waiting. */
  consumeLater(): void;
  features(): Features;
}

/** The register frame with its guards and handshakes: IHI 0070 6.3, behaviour of v3.2 and later. */
export class Registers {
  readonly file: RegisterFile<typeof REGISTERS>;
  readonly words: Int32Array;
  private readonly actions: Actions;

  constructor(actions: Actions) {
    this.actions = actions;
    this.file = new RegisterFile(REGISTERS, FRAME_BYTES, this.behaviour());
    this.words = this.file.words;
  }

  /** Brings the ACK registers up to date and ends a GBPA update. True when SMMUEN is in force afterwards. */
  settle(): boolean {
    const { words } = this;
    words[CR0ACK] = words[CR0_WORD]!;
    words[IRQ_ACK] = words[IRQ_CTRL]!;
    words[GBPA_WORD]! &= ~UPDATE;
    return this.translating;
  }

  get translating(): boolean {
    return (this.words[CR0ACK]! & SMMUEN) !== 0;
  }

  private behaviour(): RegisterBehaviour<typeof REGISTERS> {
    return {
      guards: {
        disabled: () => this.off(SMMUEN),
        gbpa: () => (this.words[GBPA_WORD]! & UPDATE) === 0,
        cmdqOff: () => this.off(CMDQEN),
        eventqOff: () => this.off(EVENTQEN),
        priqOff: () => this.off(PRIQEN),
        gerrorIrqOff: () => this.interruptOff(1),
        priqIrqOff: () => this.interruptOff(2),
        eventqIrqOff: () => this.interruptOff(4),
      },
      effects: {
        CR0: () => this.control(),
        CR1: (was) => this.attributes(was),
        CR2: () => this.control2(),
        GBPA: (was) => this.globalBypass(was),
        IRQ_CTRL: () => this.actions.settleLater(),
        GERRORN: (was) => this.acknowledge(was),
        CMDQ_PROD: () => this.actions.consumeLater(),
      },
    };
  }

  /** The enable reads 0 and its change has taken effect. */
  private off(enable: number): boolean {
    return ((this.words[CR0_WORD]! | this.words[CR0ACK]!) & enable) === 0;
  }

  private interruptOff(enable: number): boolean {
    return ((this.words[IRQ_CTRL]! | this.words[IRQ_ACK]!) & enable) === 0;
  }

  private control(): void {
    const { pri, ats, vmw, dpt } = this.actions.features();
    const implemented =
      SMMUEN |
      EVENTQEN |
      CMDQEN |
      (pri ? PRIQEN : 0) |
      (ats ? ATSCHK : 0) |
      (vmw ? VMW_MASK : 0) |
      (dpt ? bit(CR0.fields.DPT_WALK_EN) : 0);
    this.words[CR0_WORD]! &= implemented;
    this.actions.settleLater();
  }

  /** Each half of CR1 has a guard of its own. */
  private attributes(was: number): void {
    const kept =
      (this.off(SMMUEN) ? 0 : ~QUEUE_ATTRIBUTES) | (this.off(CMDQEN | EVENTQEN | PRIQEN) ? 0 : QUEUE_ATTRIBUTES);
    this.words[CR1_WORD] = (was & kept) | (this.words[CR1_WORD]! & ~kept);
  }

  private control2(): void {
    const { hyp, btm, atsRecErr } = this.actions.features();
    this.words[CR2_WORD]! &= (hyp ? 1 : 0) | 2 | (btm ? 4 : 0) | (atsRecErr ? 8 : 0);
  }

  /** A write without Update changes nothing; with it, the change is under way until Update reads 0. */
  private globalBypass(was: number): void {
    if ((this.words[GBPA_WORD]! & UPDATE) === 0) this.words[GBPA_WORD] = was;
    else this.actions.settleLater();
  }

  /** Only bits of active errors can be toggled. Acknowledging a command error sets the queue going again. */
  private acknowledge(was: number): void {
    const active = this.words[GERROR]! ^ was;
    this.words[GERRORN] = (was & ~active) | (this.words[GERRORN]! & active);
    if (((this.words[GERRORN]! ^ was) & 1) !== 0) this.actions.consumeLater();
  }
}
