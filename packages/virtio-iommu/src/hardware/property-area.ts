import { hiOf, loOf } from '@iommukit/bits';
import { PROPERTY, RESV_MEM_BYTES, RESV_MEM_LENGTH, RESV_SUBTYPE } from '../format/properties.ts';
import { TAIL_BYTES } from '../format/requests.ts';
import type { ReservedRegions } from './regions.ts';

/** The device-written part of PROBE: properties, zeros up to `probe_size`, tail. Virtio 1.3 §5.13.6.7. */
export class PropertyArea {
  readonly words: Int32Array;
  private readonly size: number;

  constructor(size: number) {
    this.size = size;
    this.words = new Int32Array(Math.ceil((size + TAIL_BYTES) / 4) + 1);
  }

  /** No property, and `status` in the last four of `length` bytes. */
  refuse(length: number, status: number): void {
    this.words.fill(0);
    this.putTail(length - TAIL_BYTES, status);
  }

  /** The regions as RESV_MEM properties, and OK. */
  answer(regions: ReservedRegions): void {
    this.words.fill(0);
    regions.settings.forEach(({ subtype, start, end }, i) => {
      const head = PROPERTY.RESV_MEM | (RESV_MEM_LENGTH << 16);
      const halves = [loOf(start), hiOf(start), loOf(end), hiOf(end)];
      this.words.set([head, RESV_SUBTYPE[subtype], ...halves], (i * RESV_MEM_BYTES) / 4);
    });
    this.putTail(this.size, 0);
  }

  /** `at` need not be a multiple of four: `probe_size` is any number. */
  private putTail(at: number, status: number): void {
    const shift = (at & 3) * 8;
    this.words[at >> 2]! |= status << shift;
  }
}
