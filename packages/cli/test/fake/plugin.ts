import { addr, bytesToWords, flag, hiOf, layout, loOf, toBig, uint, wordsToBytes } from '@iommukit/bits';
import {
  ACCESS,
  type DmaAnswer,
  type DmaRequest,
  type DumpReader,
  FAULT_REASON,
  type FaultReason,
  type HardwareModel,
  OUTCOME,
  PERMISSION,
  type PhysicalMemory,
  type VendorPlugin,
} from '@iommukit/core';

/**
 * A vendor small enough to compute by hand. Register 0: base of 8-byte device entries (8 devices); 8: base of a ring of
 * four 8-byte commands, of which the low word of register 0x10 were consumed. A device entry points at 512 PTEs.
 * One fault register: a second fault before it is cleared (by waking) leaves no record. One TLB without tags: what one
 * device filled answers another.
 */
const FRAME_BYTES = 0x20;
const DEVICES = 8;
const PTES = 512;

const DEVICE = layout('DEV', 'fake 1', 64, { V: flag(0), Bypass: flag(1), Table: addr(47, 12) });
const PTE = layout('PTE', 'fake 2', 64, { R: flag(0), W: flag(1), Page: addr(47, 12) });
const COMMAND = layout('command', 'fake 3', 64, { Op: uint(7, 0), Target: addr(47, 12) });
const FAULT = layout('fault', 'fake 4', 64, { F: flag(0), Code: uint(15, 8), Device: uint(63, 32) });

class FakeHardware implements HardwareModel {
  readonly mmioBytes = FRAME_BYTES;
  readonly mmio = null as never;
  probe: HardwareModel['probe'] = null;
  frame: Uint32Array = new Uint32Array(FRAME_BYTES / 4);
  recorded = false;
  readonly tlb = new Map<bigint, Uint32Array>();
  readonly memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.memory = memory;
  }

  wake(frame: Uint8Array): void {
    this.frame = bytesToWords(frame);
    this.recorded = false;
    this.dropCaches();
  }
  reset(): void {}
  dropCaches(): void {
    this.tlb.clear();
  }

  register(offset: number): bigint {
    return toBig(this.frame[offset / 4 + 1]!, this.frame[offset / 4]!);
  }

  load(what: string, at: bigint, shape: typeof DEVICE | typeof PTE): Uint32Array | null {
    if (!this.memory.read64(hiOf(at), loOf(at))) return null;
    const words = Uint32Array.of(this.memory.lo, this.memory.hi);
    this.probe?.structure?.(what, at, shape, words);
    return words;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    const fault = this.walk(request, answer);
    if (fault) this.refuse(answer, fault[0], fault[1], request.device);
  }

  /** Fills the answer, or returns the reason and code of a fault. */
  walk({ device, iovaHi, iovaLo, access }: DmaRequest, answer: DmaAnswer): [FaultReason, number] | null {
    if (device >= DEVICES) return [FAULT_REASON.BAD_DEVICE, 1];
    const entry = this.load('DEV', this.register(0) + BigInt(device * 8), DEVICE);
    if (!entry) return [FAULT_REASON.FETCH_ABORT, 2];
    answer.outcome = OUTCOME.BYPASS;
    answer.paHi = iovaHi;
    answer.paLo = iovaLo;
    if (DEVICE.get(entry, 'Bypass')) return null;
    if (!DEVICE.get(entry, 'V')) return [FAULT_REASON.BLOCKED, -1];
    const iova = toBig(iovaHi, iovaLo);
    if (iova >> 21n !== 0n) return [FAULT_REASON.ADDRESS_SIZE, 3];
    const pte = this.tlb.get(iova >> 12n) ?? this.load('PTE', DEVICE.get(entry, 'Table') + (iova >> 12n) * 8n, PTE);
    if (!pte) return [FAULT_REASON.FETCH_ABORT, 2];
    this.tlb.set(iova >> 12n, pte);
    const permissions = pte[0]! & 3;
    if (permissions === 0) return [FAULT_REASON.NOT_PRESENT, 4];
    const wanted = access === ACCESS.WRITE ? PERMISSION.WRITE : PERMISSION.READ;
    if ((permissions & wanted) === 0) return [FAULT_REASON.PERMISSION, 5];
    const pa = PTE.get(pte, 'Page') | (iova & 0xfffn);
    answer.outcome = OUTCOME.TRANSLATED;
    answer.paHi = hiOf(pa);
    answer.paLo = loOf(pa);
    answer.pageSizeLg2 = 12;
    answer.permissions = permissions;
    return null;
  }

  refuse(answer: DmaAnswer, reason: FaultReason, code: number, device: number): void {
    answer.outcome = OUTCOME.FAULT;
    answer.reason = reason;
    answer.code = code;
    const record = code >= 0 && !this.recorded;
    answer.recordWords = record ? 2 : 0;
    if (!record) return;
    answer.record.set(FAULT.encode({ F: true, Code: code, Device: device }));
    this.recorded = true;
  }
}

function open(memory: PhysicalMemory, frame: Uint8Array): DumpReader {
  const hardware = new FakeHardware(memory);
  hardware.wake(frame);
  return {
    hardware,
    queues: ['command'],
    *devices() {
      for (let device = 0; device < DEVICES; device++) {
        const entry = hardware.load('', hardware.register(0) + BigInt(device * 8), DEVICE);
        if (entry && DEVICE.get(entry, 'V')) yield { device, pasid: null };
      }
    },
    *mappings(device) {
      const entry = hardware.load('', hardware.register(0) + BigInt(device * 8), DEVICE)!;
      for (let at = 0; at < PTES; at++) {
        const pte = hardware.load('', DEVICE.get(entry, 'Table') + BigInt(at * 8), PTE);
        if (!pte || (pte[0]! & 3) === 0) continue;
        const [iova, pa] = [BigInt(at) << 12n, PTE.get(pte, 'Page')];
        yield { iova, pa, size: 4096n, pageSize: 4096n, permissions: pte[0]! & 3 };
      }
    },
    *queue(name) {
      if (name !== 'command') throw new RangeError(name);
      for (let index = 0; index < 4; index++) {
        const bytes = new Uint8Array(8);
        memory.readBytes(hardware.register(8) + BigInt(index * 8), bytes);
        yield { index, bytes, consumed: index < Number(hardware.register(0x10)) };
      }
    },
  };
}

const LAYOUTS = { command: COMMAND, fault: FAULT } as const;

const fake: VendorPlugin = {
  id: 'fake',
  title: 'A vendor for tests of the command',
  configs: [],
  createHardware: () => {
    throw new Error('only dumps');
  },
  createDriver: () => {
    throw new Error('only dumps');
  },
  faultName: (code) => (code < 0 ? 'ABORT' : `FAKE_${code}`),
  decoder: {
    kinds: ['command', 'fault'],
    sizes: () => [8],
    decode(kind, bytes) {
      const shape = LAYOUTS[kind as keyof typeof LAYOUTS];
      const words = bytesToWords(bytes);
      const legal = kind === 'fault' || words[0]! >>> 8 === 0;
      return {
        kind,
        name: legal ? shape.name.toUpperCase() : 'UNKNOWN',
        fields: shape.decode(words),
        raw: Buffer.from(bytes).toString('hex'),
        reserved: shape.reserved(words).map(({ msb, lsb, value }) => `[${msb}:${lsb}]=0x${value.toString(16)}`),
        problems: legal ? [] : ['bits 8 to 31 are not zero'],
      };
    },
  },
  dump: { frameBytes: FRAME_BYTES, pciIds: true, open },
  replay: {
    endpointsOf: ({ raw }) => [raw[1]!],
    open({ endpoints, config }) {
      const hardware = new FakeHardware(null as never);
      let mapped = 0;
      hardware.translate = (request, answer) => {
        if (!endpoints.includes(request.device)) {
          hardware.refuse(answer, FAULT_REASON.BAD_DEVICE, 1, 0);
          return;
        }
        answer.outcome = OUTCOME.TRANSLATED;
        answer.paHi = 0;
        answer.paLo = mapped;
        answer.pageSizeLg2 = 12;
        answer.permissions = 3;
      };
      if ((config as { bad?: boolean } | null)?.bad) throw new RangeError('bad makes no sense');
      return {
        hardware,
        submit({ seq, raw, writeOffset }) {
          mapped = raw[2]! << 12;
          if (raw[0] === 0xff) return { seq, type: 'UNKNOWN', status: null, used: -1, raw: new Uint8Array(0) };
          return { seq, type: 'SET', status: 'OK', used: raw.length - writeOffset, raw: wordsToBytes([0x5a]) };
        },
      };
    },
  },
};

export default fake;
