import type { RegisterEffect, RegisterFile } from '@iommukit/bits';
import type { HardwarePorts } from '@iommukit/core';
import { REGISTERS } from '../format/index.ts';
import { Caches } from './caches/caches.ts';
import { COMPLETION_EVENT, EventMessage } from './event-message.ts';
import { FaultRecorder } from './fault-recorder.ts';
import type { Features } from './features.ts';
import { GlobalCommand } from './global-command.ts';
import { InvalidationQueue } from './invalidation-queue.ts';
import { Invalidator } from './invalidator.ts';
import { frcdName, registerFile } from './register-file.ts';
import { RegisterInvalidation } from './register-invalidation.ts';
import { UnitState } from './state.ts';
import { Translator } from './translate.ts';

const FSTS = REGISTERS.FSTS.at / 4;
const ICS = REGISTERS.ICS.at / 4;
const PMEN = REGISTERS.PMEN.at / 4;
const STOPPED = 0x50;

/** One remapping unit with the features it was made with: registers wired to what they do. */
export class VtdUnit {
  readonly state: UnitState;
  readonly registers: RegisterFile;
  readonly caches = new Caches();
  readonly recorder: FaultRecorder;
  readonly translator: Translator;
  readonly #queue: InvalidationQueue;
  readonly #completion: EventMessage;
  readonly #command: GlobalCommand;
  readonly #byRegister: RegisterInvalidation;
  readonly #drain = (): void => this.#queue.drain();

  constructor(ports: HardwarePorts, features: Features) {
    this.state = new UnitState(ports, features);
    this.registers = registerFile(features, this.#effects(features));
    this.state.registers = this.registers;
    this.state.words = this.registers.words;
    this.recorder = new FaultRecorder(this.state);
    this.translator = new Translator(this.state, this.caches, this.recorder);
    this.caches.firstStage = this.translator.first.cache;
    this.caches.secondStage = this.translator.second.cache;
    const invalidator = new Invalidator(this.caches);
    this.#completion = new EventMessage(this.state, COMPLETION_EVENT, () => (this.state.words[ICS]! & 1) !== 0);
    this.#queue = new InvalidationQueue(this.state, invalidator, this.recorder, this.#completion);
    this.#byRegister = new RegisterInvalidation(this.state, invalidator);
    this.#command = new GlobalCommand(this.state, {
      dropAll: () => this.caches.clear(),
      translationChanged: () => this.recorder.translationChanged(),
      queueEnabled: (on) => (on ? this.#ring() : this.#queue.restart()),
    });
  }

  reset(): void {
    this.registers.reset();
    this.caches.clear();
    this.recorder.reset();
    this.state.forgetRoot();
    this.state.refreshMode();
    this.#command.settle();
  }

  /** Registers as they stood; the latched root is what RTADDR holds. */
  wake(frame: Uint8Array): void {
    this.reset();
    this.registers.load(frame);
    this.state.latchRoot();
    this.state.refreshMode();
    this.recorder.resume();
    this.#command.settle();
  }

  /** For a dump: each request is a question of its own. Nothing is logged, and only the tables answer. */
  answerQueries(): void {
    this.recorder.answerOnly = true;
    this.translator.interruptRange = false;
  }

  #ring(): void {
    this.state.ports.defer(this.#drain);
  }

  #effects(features: Features): Record<string, RegisterEffect> {
    const effects: Record<string, RegisterEffect> = {
      GCMD: () => this.#command.written(),
      CCMD: () => this.#byRegister.written(),
      IOTLB: () => this.#byRegister.written(),
      FSTS: (was) => this.#faultStatusWritten(was),
      FECTL: () => this.recorder.event.deliver(),
      ICS: () => this.#completion.statusCleared(),
      IECTL: () => this.#completion.deliver(),
      PMEN: () => this.#protectionWritten(),
      IQT: () => this.#ring(),
      IQA: () => this.#ring(),
    };
    for (let i = 0; i < features.faultRecords; i++) effects[frcdName(i)] = () => this.recorder.statusWritten();
    return effects;
  }

  #faultStatusWritten(was: number): void {
    this.recorder.statusWritten();
    const cleared = was & ~this.state.words[FSTS]!;
    if ((cleared & STOPPED) === 0) return;
    this.#queue.errorCleared();
    this.#ring();
  }

  /** PRS follows EPM. */
  #protectionWritten(): void {
    const { words } = this.state;
    words[PMEN] = words[PMEN]! < 0 ? words[PMEN]! | 1 : words[PMEN]! & ~1;
  }
}
