import { hiOf, loOf, toBig } from '@iommukit/bits';
import {
  ACCESS,
  type Access,
  type DeviceDescription,
  DmaAnswer,
  DmaRequest,
  FAULT_REASON,
  OUTCOME,
  type Outcome,
  REQUEST_KIND,
} from '@iommukit/core';
import type { Board } from '../board.ts';
import { frozen } from '../frozen.ts';
import type { SparseMemory } from '../memory/sparse.ts';
import type { Unit } from '../unit.ts';
import { BusWindows } from './bus-windows.ts';
import { type DmaFault, type DmaResult, faultAtBus, faultOf } from './result.ts';

/** DMA goes out in pieces that cross no such boundary; a smaller page ends its piece earlier. */
const PIECE = 4096;

export interface DmaOptions {
  /** Absent: a request without PASID. */
  readonly pasid?: number;
  /** The request's privileged-mode attribute; default false. */
  readonly privileged?: boolean;
  /** Default: the device's own id. Any number may be sent, also one that is not the device's. */
  readonly requesterId?: number;
}

/** A device that does DMA through its unit. */
export class Endpoint {
  readonly description: DeviceDescription;
  readonly unit: Unit;
  /** The last request, reused; {@link send} issues it as it stands. */
  readonly request = new DmaRequest();
  /** The unit's answer to the last request, reused. */
  readonly answer = new DmaAnswer();
  private readonly board: Board;
  private readonly memory: SparseMemory;
  private readonly windows: BusWindows | null;
  private readonly ownId: number;

  constructor(
    unit: Unit,
    board: Board,
    description: Partial<DeviceDescription> & { readonly requesterIds: readonly number[] },
  ) {
    const [ownId] = description.requesterIds;
    if (ownId === undefined) throw new RangeError('a device has at least one requester id');
    this.unit = unit;
    this.board = board;
    this.ownId = ownId;
    this.description = frozen({
      name: `device-0x${ownId.toString(16)}`,
      pasidBits: 0,
      ats: false,
      pri: false,
      coherent: false,
      isolation: null,
      busLimits: [],
      ...description,
    });
    this.memory = board.softwareMemory();
    const { busLimits } = this.description;
    this.windows = busLimits.length === 0 ? null : new BusWindows(busLimits);
  }

  /** Reads `length` bytes, up to the first fault. Throws RangeError when the range leaves the 64-bit space. */
  read(iova: bigint, length: number, options: DmaOptions = {}): DmaResult {
    return this.transfer(iova, new Uint8Array(length), ACCESS.READ, options);
  }

  /** Instruction fetch; bytes as for {@link read}. */
  execute(iova: bigint, length: number, options: DmaOptions = {}): DmaResult {
    return this.transfer(iova, new Uint8Array(length), ACCESS.EXECUTE, options);
  }

  /** Writes `bytes`, up to the first fault: what lies before it is done. */
  write(iova: bigint, bytes: Uint8Array, options: DmaOptions = {}): DmaResult {
    return this.transfer(iova, bytes, ACCESS.WRITE, options);
  }

  /** One request without data, by the address's signed halves; the answer is in {@link answer}. Allocates nothing. */
  translate(iovaHi: number, iovaLo: number, access: Access, pasid = -1): Outcome {
    const request = this.request;
    request.device = this.ownId;
    request.pasid = pasid;
    request.iovaHi = iovaHi;
    request.iovaLo = iovaLo;
    request.access = access;
    request.privileged = false;
    request.kind = REQUEST_KIND.UNTRANSLATED;
    return this.send();
  }

  /** Issues {@link request}. What lies outside the bus's windows is refused before the unit sees it. */
  send(): Outcome {
    if (!this.admitted()) return this.refuse();
    this.issue();
    const { outcome } = this.answer;
    this.board.settle();
    return outcome;
  }

  private admitted(): boolean {
    return this.windows === null || this.windows.admit(this.request.iovaHi, this.request.iovaLo);
  }

  private refuse(): Outcome {
    const answer = this.answer;
    answer.outcome = OUTCOME.FAULT;
    answer.reason = FAULT_REASON.ADDRESS_SIZE;
    answer.code = -1;
    answer.recordWords = 0;
    return OUTCOME.FAULT;
  }

  private issue(): void {
    this.unit.hardware.translate(this.request, this.answer);
    if (this.board.observers.count !== 0) this.tell();
  }

  private transfer(iova: bigint, bytes: Uint8Array, access: Access, options: DmaOptions): DmaResult {
    if (iova < 0n || iova + BigInt(bytes.length) > 1n << 64n)
      throw new RangeError(`DMA of ${bytes.length} bytes at 0x${iova.toString(16)} leaves the address space`);
    let done = 0;
    let fault: DmaFault | null = null;
    while (done < bytes.length && fault === null) {
      const at = iova + BigInt(done);
      const length = Math.min(PIECE - Number(at % BigInt(PIECE)), bytes.length - done);
      const moved = this.piece(at, bytes.subarray(done, done + length), access, options);
      if (typeof moved === 'number') done += moved;
      else fault = moved;
    }
    const data = access === ACCESS.WRITE ? bytes.subarray(0, 0) : bytes.subarray(0, done);
    return { ok: fault === null, done, data, faults: fault === null ? [] : [fault] };
  }

  /** Moves what of one piece lies in one page; the number of bytes moved, or the fault. */
  private piece(iova: bigint, bytes: Uint8Array, access: Access, options: DmaOptions): number | DmaFault {
    const request = this.request;
    request.device = options.requesterId ?? this.ownId;
    request.pasid = options.pasid ?? -1;
    request.iovaHi = hiOf(iova);
    request.iovaLo = loOf(iova);
    request.access = access;
    request.privileged = options.privileged ?? false;
    request.kind = REQUEST_KIND.UNTRANSLATED;
    if (!this.admitted()) return faultAtBus(iova, 'address-size');
    this.issue();
    const { outcome } = this.answer;
    const moved =
      outcome === OUTCOME.FAULT ? faultOf(this.unit.plugin, iova, this.answer) : this.move(iova, bytes, access);
    // Last, because handlers that run now may do DMA of their own and reuse the answer.
    this.board.settle();
    return moved;
  }

  private move(iova: bigint, bytes: Uint8Array, access: Access): number | DmaFault {
    const { outcome, paHi, paLo, pageSizeLg2 } = this.answer;
    const page = outcome === OUTCOME.BYPASS || pageSizeLg2 >= 12 ? PIECE : 2 ** pageSizeLg2;
    const length = Math.min(bytes.length, page - Number(iova % BigInt(page)));
    const pa = toBig(paHi, paLo);
    const piece = bytes.subarray(0, length);
    const moved = access === ACCESS.WRITE ? this.memory.writeBytes(pa, piece) : this.memory.readBytes(pa, piece);
    return moved ? length : faultAtBus(iova, 'fetch-abort');
  }

  private tell(): void {
    this.board.observers.tell((observer) => observer.dma?.(this.unit, this.request, this.answer));
  }
}
