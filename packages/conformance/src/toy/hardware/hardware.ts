import { RegisterFile } from '@iommukit/bits';
import {
  type DmaAnswer,
  type DmaRequest,
  FAULT_REASON,
  type HardwareModel,
  type HardwarePorts,
  type HardwareProbe,
  type MmioRegion,
  OUTCOME,
  WordMmio,
} from '@iommukit/core';
import {
  CAPS,
  COMMAND_BYTES,
  COMMAND_ENTRIES,
  CTRL_ENABLE,
  FRAME_BYTES,
  REGISTERS,
  STATUS,
} from '../format/registers.ts';
import { CommandConsumer } from './command-consumer.ts';
import type { ToyHardwareConfig } from './config.ts';
import { ContextLookup } from './context-lookup.ts';
import { EventProducer } from './event-producer.ts';
import { TranslationCache } from './translation-cache.ts';
import { Translator } from './translator.ts';
import { Walk } from './walk.ts';

/** The hardware half: registers in, translations out. */
export class ToyHardware implements HardwareModel {
  readonly mmio: MmioRegion;
  readonly mmioBytes = FRAME_BYTES;
  readonly contexts: ContextLookup;
  readonly cache = new TranslationCache();
  readonly walk: Walk;
  readonly events: EventProducer;
  readonly commands: CommandConsumer;
  readonly translator: Translator;
  private readonly registers: RegisterFile<typeof REGISTERS>;
  private readonly config: ToyHardwareConfig;
  private readonly runCommands = () => this.drain();
  private readonly followEnable = () => this.switchOnOrOff();
  private readonly at = { head: 0, tail: 0, status: 0, ctrl: 0, commands: 0, events: 0, eventHead: 0, eventTail: 0 };

  constructor(ports: HardwarePorts, config: ToyHardwareConfig) {
    this.config = config;
    const { memory } = ports;
    this.contexts = new ContextLookup(memory, config.pasid);
    this.walk = new Walk(memory, config.largePages, config.outputBits);
    this.events = new EventProducer(ports);
    this.commands = new CommandConsumer(memory, this.contexts, this.cache);
    this.translator = new Translator(memory, config, this.contexts, this.cache, this.walk);
    this.registers = new RegisterFile(REGISTERS, FRAME_BYTES, {
      effects: {
        CMD_TAIL: () => ports.defer(this.runCommands),
        CTRL: () => ports.defer(this.followEnable),
      },
    });
    this.mmio = new ToyMmio(this.registers);
    this.locate();
    this.advertise();
  }

  get probe(): HardwareProbe | null {
    return this.contexts.probe;
  }

  set probe(probe: HardwareProbe | null) {
    this.contexts.probe = this.walk.probe = this.events.probe = this.commands.probe = probe;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    answer.recordWords = 0;
    if ((this.registers.words[this.at.status]! & STATUS.RUNNING) === 0) refuseInSilence(answer);
    else this.answer(request, answer);
  }

  reset(): void {
    this.registers.reset();
    this.advertise();
    this.dropCaches();
  }

  wake(frame: Uint8Array): void {
    this.registers.load(frame);
    this.startLookup();
    this.dropCaches();
  }

  dropCaches(): void {
    this.cache.clear();
    this.contexts.forgetAll();
  }

  private answer(request: DmaRequest, answer: DmaAnswer): void {
    const code = this.translator.translate(request, answer);
    if (code === 0 || !this.translator.reported(code)) return;
    this.events.describe(code, request, answer);
    this.record(answer);
  }

  private locate(): void {
    const { registers, at } = this;
    at.head = registers.index('CMD_HEAD');
    at.tail = registers.index('CMD_TAIL');
    at.status = registers.index('STATUS');
    at.ctrl = registers.index('CTRL');
    at.commands = registers.index('CMD_BASE');
    at.events = registers.index('EVT_BASE');
    at.eventHead = registers.index('EVT_HEAD');
    at.eventTail = registers.index('EVT_TAIL');
  }

  private advertise(): void {
    const { config } = this;
    const [caps] = CAPS.encode({
      NEST: config.nesting !== 'none',
      VIRTUAL: config.nesting === 'virtual',
      PASID: config.pasid,
      DIRTY: config.dirty,
      SNOOP: config.snoop,
      WRITE_ONLY: config.writeOnly,
      EXECUTE: config.execute,
      LARGE: config.largePages,
      REPORT: config.reportsBlocked,
      BYPASS: config.bypass,
      INFO: config.info,
      OUTPUT_BITS: config.outputBits,
    });
    this.registers.set('CAPS', BigInt(caps!));
  }

  private switchOnOrOff(): void {
    const { words } = this.registers;
    const enable = (words[this.at.ctrl]! & CTRL_ENABLE) !== 0;
    const running = (words[this.at.status]! & STATUS.RUNNING) !== 0;
    if (enable === running) return;
    words[this.at.status]! ^= STATUS.RUNNING;
    if (!enable) return;
    words[this.at.head] = words[this.at.tail] = words[this.at.eventHead] = words[this.at.eventTail] = 0;
    this.startLookup();
    this.dropCaches();
  }

  private startLookup(): void {
    const table = this.registers.index('TABLE');
    this.contexts.start(this.registers.words[table + 1]!, this.registers.words[table]!);
  }

  /** At most one ring's worth: software that rings for ever cannot hold the machine up. */
  private drain(): void {
    const { words } = this.registers;
    const { head, tail, status, commands } = this.at;
    for (let budget = COMMAND_ENTRIES; budget > 0 && words[head] !== words[tail]; budget--) {
      if ((words[status]! & (STATUS.RUNNING | STATUS.CMD_ERROR)) !== STATUS.RUNNING) return;
      const lo = words[commands]! + words[head]! * COMMAND_BYTES;
      if (!this.commands.take(words[commands + 1]!, lo)) words[status]! |= STATUS.CMD_ERROR;
      else words[head] = (words[head]! + 1) % COMMAND_ENTRIES;
    }
  }

  private record(answer: DmaAnswer): void {
    const { words } = this.registers;
    const { events, eventHead, eventTail, status } = this.at;
    const tail = this.events.write(
      words[events + 1]!,
      words[events]!,
      words[eventHead]!,
      words[eventTail]!,
      answer.record,
    );
    if (tail >= 0) words[eventTail] = tail;
    else {
      words[status]! |= STATUS.EVT_LOST;
      answer.recordWords = 0;
    }
  }
}

function refuseInSilence(answer: DmaAnswer): void {
  answer.outcome = OUTCOME.FAULT;
  answer.reason = FAULT_REASON.BLOCKED;
  answer.code = -1;
}

class ToyMmio extends WordMmio {
  private readonly registers: RegisterFile;

  constructor(registers: RegisterFile) {
    super();
    this.registers = registers;
  }

  override read32(offset: number): number {
    return this.registers.read32(offset);
  }
  override read64(offset: number): bigint {
    return this.registers.read64(offset);
  }
  override write32(offset: number, value: number): void {
    this.registers.write32(offset, value);
  }
  override write64(offset: number, value: bigint): void {
    this.registers.write64(offset, value);
  }
}
