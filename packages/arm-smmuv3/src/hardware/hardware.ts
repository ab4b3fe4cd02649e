import {
  type DmaAnswer,
  type DmaRequest,
  type HardwareModel,
  type HardwarePorts,
  type HardwareProbe,
  type MmioRegion,
  WordMmio,
} from '@iommukit/core';
import { FRAME_BYTES } from '../format/registers.ts';
import { CommandConsumer } from './command-consumer.ts';
import { commandSet } from './command-set.ts';
import { ConfigCache } from './config-cache.ts';
import { ContextLookup } from './context-lookup.ts';
import { EventProducer } from './event-producer.ts';
import { FaultReport } from './fault-report.ts';
import { readFeatures } from './features.ts';
import { Interrupts } from './interrupts.ts';
import { Registers } from './register-effects.ts';
import { StreamLookup } from './stream-lookup.ts';
import { Tags } from './tags.ts';
import { TlbInvalidate } from './tlb-invalidate.ts';
import { Translator } from './translate.ts';
import { TranslationCache } from './translation-cache.ts';
import { UnitState } from './unit.ts';
import { WalkFault } from './walk-fault.ts';
import { Stage1 } from './walk-stage1.ts';
import { Stage2 } from './walk-stage2.ts';

/** Identification registers by name; what is absent reads 0. */
export type Identification = Readonly<
  Partial<Record<'IDR0' | 'IDR1' | 'IDR2' | 'IDR3' | 'IDR4' | 'IDR5' | 'IIDR' | 'AIDR', bigint>>
>;

/** Most streams and contexts, translations, and tables of translations, that are ever cached. */
const CONFIG_LIMIT = 1 << 16;
const TRANSLATION_LIMIT = 1 << 20;
const TABLE_LIMIT = 1 << 16;
const TAG_LIMIT = 1 << 21;

/** The hardware half of one SMMUv3: ports in, registers and translations out. */
export class SmmuHardware implements HardwareModel {
  readonly mmio: MmioRegion;
  readonly mmioBytes = FRAME_BYTES;
  private readonly identification: Identification;
  private readonly registers: Registers;
  private readonly config: ConfigCache;
  private readonly cache: TranslationCache;
  private readonly tables: TranslationCache;
  private readonly events: EventProducer;
  private readonly commands: CommandConsumer;
  private readonly translator: Translator;
  /** For reading a dump: the parts that find configuration and walk stage 2. */
  readonly unit: UnitState;
  readonly streams: StreamLookup;
  readonly contexts: ContextLookup;
  readonly stage2: Stage2;

  constructor(ports: HardwarePorts, identification: Identification) {
    this.identification = identification;
    const settle = () => this.settle();
    const consume = () => this.commands.consume();
    this.registers = new Registers({
      settleLater: () => ports.defer(settle),
      consumeLater: () => ports.defer(consume),
      features: () => this.unit.features,
    });
    this.unit = new UnitState(ports.memory, this.registers.words);
    const tags = new Tags(TAG_LIMIT);
    this.cache = new TranslationCache(tags, TRANSLATION_LIMIT);
    this.tables = new TranslationCache(tags, TABLE_LIMIT);
    this.config = new ConfigCache(tags, CONFIG_LIMIT);
    const { unit, cache, tables, config } = this;
    const interrupts = new Interrupts(unit, ports.irq);
    this.events = new EventProducer(unit, interrupts);
    const where = new WalkFault();
    this.stage2 = new Stage2(unit, cache, tables, where);
    this.streams = new StreamLookup(unit, config, tags);
    this.contexts = new ContextLookup(unit, config, tags, this.stage2, where);
    const { streams, contexts, stage2 } = this;
    const stage1 = new Stage1(unit, stage2, tables, where);
    const report = new FaultReport(this.events);
    this.translator = new Translator({ unit, config, cache, streams, contexts, stage1, stage2, where, report });
    const tlb = new TlbInvalidate(tags, cache, tables);
    this.commands = new CommandConsumer(unit, interrupts, commandSet({ unit, config, streams, tlb, interrupts }));
    this.mmio = new Frame(this.registers);
    this.reset();
  }

  get probe(): HardwareProbe | null {
    return this.unit.probe;
  }

  set probe(probe: HardwareProbe | null) {
    this.unit.probe = probe;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    this.translator.translate(request, answer);
  }

  reset(): void {
    this.registers.file.reset();
    for (const [name, value] of Object.entries(this.identification))
      this.registers.file.set(name as keyof Identification, value);
    this.restart();
    this.events.detached = false;
  }

  wake(frame: Uint8Array): void {
    this.registers.words.fill(0);
    this.registers.file.load(frame);
    this.restart();
    this.events.detached = true;
  }

  dropCaches(): void {
    this.dropTranslations();
    this.config.clear();
  }

  /** The configuration caches stay: for a reader that goes through one stream after the other. */
  dropTranslations(): void {
    this.cache.clear();
    this.tables.clear();
  }

  /** Cold caches, and everything that is derived from registers derived anew. */
  private restart(): void {
    this.unit.features = readFeatures(this.registers.words);
    this.unit.enabled = this.registers.translating;
    this.commands.reset();
    this.dropCaches();
  }

  private settle(): void {
    this.unit.enabled = this.registers.settle();
    this.commands.consume();
  }
}

/** Software's view of the registers: 32- and 64-bit accesses only. */
class Frame extends WordMmio {
  readonly #registers: Registers;

  constructor(registers: Registers) {
    super();
    this.#registers = registers;
  }

  read32(offset: number): number {
    return this.#registers.file.read32(offset);
  }

  read64(offset: number): bigint {
    return this.#registers.file.read64(offset);
  }

  write32(offset: number, value: number): void {
    this.#registers.file.write32(offset, value);
  }

  write64(offset: number, value: bigint): void {
    this.#registers.file.write64(offset, value);
  }
}
