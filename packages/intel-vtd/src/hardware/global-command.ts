import { REGISTERS } from '../format/index.ts';
import { STATUS, type UnitState } from './state.ts';

const GCMD = REGISTERS.GCMD.at / 4;
const LEVELS = STATUS.TES | STATUS.QIES | STATUS.IRES | STATUS.CFIS;

/** What follows when a command has changed a status bit. */
export interface CommandEffects {
  /** Every cache, as SRTP with ESRTPS does, and turning translation off where scalable mode exists. */
  dropAll(): void;
  translationChanged(): void;
  queueEnabled(on: boolean): void;
}

/**
 * GCMD and its answer in GSTS (VT-d 11.4.4). A command is accepted when it is written (RTADDR is latched then) and
 * done later, when the machine lets deferred work run; until then its status bit is pending.
 */
export class GlobalCommand {
  private readonly state: UnitState;
  private readonly effects: CommandEffects;
  private levels = 0;
  private oneShots = 0;
  private readonly finish = (): void => this.complete();

  constructor(state: UnitState, effects: CommandEffects) {
    this.state = state;
    this.effects = effects;
  }

  /** After reset or on waking: nothing under way. */
  settle(): void {
    this.levels = this.state.status & LEVELS;
    this.oneShots = 0;
  }

  written(): void {
    const { state } = this;
    const command = this.allowed(state.words[GCMD]!);
    state.words[GCMD] = 0;
    this.levels = command & LEVELS;
    if ((command & STATUS.RTPS) !== 0) {
      state.setStatus(STATUS.RTPS, false);
      state.latchRoot();
    }
    if ((command & STATUS.IRTPS) !== 0) state.setStatus(STATUS.IRTPS, false);
    if ((command & STATUS.WBFS) !== 0) state.setStatus(STATUS.WBFS, true);
    this.oneShots |= command & (STATUS.RTPS | STATUS.IRTPS | STATUS.WBFS);
    state.ports.defer(this.finish);
  }

  /** Bits whose feature is not there do nothing. */
  private allowed(command: number): number {
    const { cap, ecap } = this.state.features;
    let mask = STATUS.TES | STATUS.RTPS;
    if (cap.RWBF) mask |= STATUS.WBFS;
    if (ecap.QI) mask |= STATUS.QIES;
    if (ecap.IR) mask |= STATUS.IRES | STATUS.IRTPS | STATUS.CFIS;
    return command & mask;
  }

  private complete(): void {
    const { state, effects } = this;
    const was = state.status;
    const done = this.oneShots;
    this.oneShots = 0;
    if ((done & STATUS.WBFS) !== 0) state.setStatus(STATUS.WBFS, false);
    if ((done & STATUS.RTPS) !== 0 && state.features.cap.ESRTPS) effects.dropAll();
    state.setStatus(done & (STATUS.RTPS | STATUS.IRTPS), true);
    state.setStatus(LEVELS, false);
    state.setStatus(this.levels, true);
    const changed = was ^ state.status;
    const off = changed & was;
    if ((off & STATUS.TES) !== 0 && state.features.ecap.SMTS) effects.dropAll();
    state.refreshMode();
    if ((changed & (STATUS.TES | STATUS.IRES)) !== 0) effects.translationChanged();
    if ((changed & STATUS.QIES) !== 0) effects.queueEnabled((state.status & STATUS.QIES) !== 0);
  }
}
