import { EVENT_CLASS } from '../format/events.ts';

/** Where a translation failed, as far as a record tells it. Filled by whoever answers with an event number. */
export class WalkFault {
  /** 1 or 2. */
  stage = 1;
  /** {@link EVENT_CLASS}. */
  class: number = EVENT_CLASS.IN;
  /** Stage 2: the IPA that failed. */
  ipaHi = 0;
  ipaLo = 0;
  /** Aborts: the address that did not answer. */
  fetchHi = 0;
  fetchLo = 0;

  /** A stage-1 fault of the input address. */
  stage1(code: number): number {
    this.stage = 1;
    this.class = EVENT_CLASS.IN;
    return code;
  }

  /** A stage-2 fault of an IPA. */
  stage2(code: number, cls: number, ipaHi: number, ipaLo: number): number {
    this.stage = 2;
    this.class = cls;
    this.ipaHi = ipaHi;
    this.ipaLo = ipaLo;
    return code;
  }
}
