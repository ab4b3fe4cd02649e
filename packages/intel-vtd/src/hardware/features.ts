import { hiOf, loOf } from '@iommukit/bits';
import { CAP, ECAP, PGTT } from '../format/index.ts';

const wordOf = (value: bigint): Uint32Array => Uint32Array.of(Number(value & 0xffff_ffffn), Number(value >> 32n));

/** Bits `msb:lsb` as a mask; empty when msb < lsb. */
const span = (msb: number, lsb: number): bigint =>
  msb < lsb ? 0n : ((1n << BigInt(msb - lsb + 1)) - 1n) << BigInt(lsb);

const PASID_ENTRY_WORDS = 16;
const NARROWEST_HOST = 12;
const WIDEST_HOST = 52;

/**
 * What a unit advertises, taken apart once: VER, CAP and ECAP are the model's only source, so that a unit woken from a
 * dump behaves as the registers of the dump say. The host address width is what the DMAR table tells.
 */
export class Features {
  readonly version: number;
  readonly capBits: bigint;
  readonly ecapBits: bigint;
  readonly hostAddressBits: number;
  readonly cap;
  readonly ecap;
  readonly major: number;
  readonly didMask: number;
  /** Bit AW (1, 2, 3) set: tables of AW + 2 levels are walked. */
  readonly sagaw: number;
  readonly mgaw: number;
  readonly faultRecords: number;
  /** Bits 63:HAW of a pointer, reserved in all structures but page-table entries. */
  readonly pointerRsvdHi: number;
  readonly pointerRsvdLo: number;
  /** Bits 51:HAW of a page-table entry. */
  readonly pteRsvdHi: number;
  readonly pteRsvdLo: number;
  /** Reserved bits of the scalable context entry's first two quadwords. */
  readonly contextRsvd: Int32Array;
  /** Bits past the second stage's aperture, by levels. */
  private readonly apertureHi: Int32Array;
  private readonly apertureLo: Int32Array;
  readonly #pasidRsvd: readonly Int32Array[];

  constructor(version: number, cap: bigint, ecap: bigint, hostAddressBits: number) {
    this.version = version;
    this.capBits = cap;
    this.ecapBits = ecap;
    this.hostAddressBits = Math.min(Math.max(hostAddressBits, NARROWEST_HOST), WIDEST_HOST);
    this.cap = CAP.decode(wordOf(cap));
    this.ecap = ECAP.decode(wordOf(ecap));
    this.major = (version >>> 4) & 0xf;
    this.didMask = 2 ** Math.min(4 + 2 * this.cap.ND, 16) - 1;
    this.sagaw = this.cap.SAGAW & 0xe;
    this.mgaw = this.cap.MGAW + 1;
    this.faultRecords = this.cap.NFR + 1;
    const pointer = span(63, this.hostAddressBits);
    const pte = span(51, this.hostAddressBits);
    this.pointerRsvdHi = hiOf(pointer);
    this.pointerRsvdLo = loOf(pointer);
    this.pteRsvdHi = hiOf(pte);
    this.pteRsvdLo = loOf(pte);
    this.contextRsvd = this.#contextReserved();
    const apertures = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((levels) => span(63, Math.min(this.mgaw, 12 + 9 * levels)));
    this.apertureHi = Int32Array.from(apertures, hiOf);
    this.apertureLo = Int32Array.from(apertures, loOf);
    this.#pasidRsvd = [0, 1, 2, 3, 4, 5, 6, 7].map((pgtt) => this.#pasidReserved(pgtt));
  }

  /** True when an input address lies outside the second stage's aperture, min(MGAW, width of the levels). */
  beyondAperture(levels: number, hi: number, lo: number): boolean {
    return ((hi & this.apertureHi[levels]!) | (lo & this.apertureLo[levels]!)) !== 0;
  }

  /** True for an address of 2^HAW or more. */
  beyondHost(hi: number, lo: number): boolean {
    return ((hi & this.pointerRsvdHi) | (lo & this.pointerRsvdLo)) !== 0;
  }

  /** Reserved bits of a PASID entry with this PGTT, as 16 words. VT-d 9.6. */
  pasidRsvd(pgtt: number): Int32Array {
    return this.#pasidRsvd[pgtt & 7]!;
  }

  #contextReserved(): Int32Array {
    const { ecap } = this;
    let qw0 = span(8, 7) | span(63, this.hostAddressBits);
    for (const [bit, offered] of [ecap.DT, ecap.PASID, ecap.PRS, ecap.HPTS, ecap.PTRS].entries())
      if (!offered) qw0 |= 1n << BigInt(bit + 2);
    let qw1 = span(63, 21);
    if (!ecap.RPS) qw1 |= span(19, 0);
    if (!ecap.RPRIVS) qw1 |= 1n << 20n;
    return Int32Array.of(loOf(qw0), hiOf(qw0), loOf(qw1), hiOf(qw1), -1, -1, -1, -1);
  }

  #pasidReserved(pgtt: number): Int32Array {
    const noFirst = pgtt === PGTT.SECOND_STAGE || pgtt === PGTT.PASS_THROUGH;
    const noSecond = pgtt === PGTT.FIRST_STAGE || pgtt === PGTT.PASS_THROUGH;
    const quads = [
      span(5, 5) | span(11, 10) | this.#secondStageReserved(noSecond),
      this.#tagReserved(noSecond),
      this.#firstStageReserved(noFirst),
      span(63, 0),
      ...this.#hptReserved(),
      span(63, 0),
      span(63, 0),
    ];
    const words = new Int32Array(PASID_ENTRY_WORDS);
    quads.forEach((quad, i) => {
      words[2 * i] = loOf(quad);
      words[2 * i + 1] = hiOf(quad);
    });
    return words;
  }

  /** AW, SSADE and SSPTPTR, where the translation type looks at them. */
  #secondStageReserved(ignored: boolean): bigint {
    if (ignored) return 0n;
    if (!this.ecap.SSTS) return span(4, 2) | span(9, 9) | span(63, 12);
    return (this.ecap.SSADS ? 0n : span(9, 9)) | span(63, Math.max(this.hostAddressBits, 12));
  }

  /** Second quadword: DID, snoop and memory-type bits. */
  #tagReserved(noSecond: boolean): bigint {
    const { ecap } = this;
    let mask = (span(15, 0) & ~BigInt(this.didMask)) | span(22, 16) | span(31, 27);
    if (!ecap.SMPWCS) mask |= span(23, 23);
    if (!ecap.SC) mask |= span(24, 24);
    if (!ecap.MTS) mask |= span(25, 25) | span(63, 32);
    if (!ecap.MTS && !noSecond) mask |= span(26, 26);
    return mask;
  }

  /** Third quadword: SRE always; FSPM, WPE, EAFE and FSPTPTR where the translation type looks at them. */
  #firstStageReserved(ignored: boolean): bigint {
    const { ecap } = this;
    let mask = span(1, 1) | span(11, 8);
    if (!ecap.SRS) mask |= span(0, 0);
    if (ignored) return mask;
    if (!ecap.EAFS) mask |= span(7, 7);
    if (!ecap.FSTS) return mask | span(4, 2) | span(63, 12);
    return mask | span(63, this.hostAddressBits);
  }

  /** Fifth and sixth quadword: ignored where host permission tables exist, since no context entry turns them on here. */
  #hptReserved(): bigint[] {
    if (!this.ecap.HPTS) return [span(63, 0), span(63, 0)];
    return [span(11, 3), span(63, 16)];
  }
}
