import { ensure, type IovaRange } from '@iommukit/core';
import type { Ioas } from '../ioas/ioas.ts';
import type { UserProcess } from './process.ts';
import { fetch, store } from './user-bytes.ts';
import * as S from './vfio-structs.ts';

const FLAG_PGSIZES = 1;
const FLAG_CAPS = 2;
const CAP_ID_IOVA_RANGE = 1;
const CAP_ID_DMA_AVAIL = 3;
/** Mappings are not counted, so there are always this many left. */
const DMA_AVAIL = 0xffff;
const NEXT_OFFSET = S.CAP_DMA_AVAIL.fields.next.at;

/**
 * VFIO_IOMMU_GET_INFO: page sizes, then as many capabilities as fit behind the structure. `argsz` becomes the size that
 * would hold everything; the chain is offered only when all of it fits.
 */
export function getInfo(compatIoas: () => Ioas, arg: bigint, user: UserProcess): number {
  const min = S.TYPE1_INFO.endOf('iova_pgsizes');
  const { argsz } = S.TYPE1_INFO.decode(padded(fetch(user, arg, min)));
  ensure(argsz >= min, 'EINVAL', 'argsz is too small');
  const ioas = compatIoas();
  const caps = [dmaAvail(), iovaCap(ioas.space.usableRanges)];
  let end = S.TYPE1_INFO.size;
  let last: number | null = null;
  for (const cap of caps) {
    if (argsz > end) store(user, arg + BigInt(end), fitting(cap, argsz - end));
    if (last !== null && argsz >= end) store(user, arg + BigInt(last + NEXT_OFFSET), word(end));
    last = end;
    end += (cap.bytes.length + 7) & ~7;
  }
  const info = S.TYPE1_INFO.encode({
    argsz: end,
    flags: FLAG_PGSIZES | FLAG_CAPS,
    iova_pgsizes: ioas.space.alignment,
    cap_offset: argsz >= end ? S.TYPE1_INFO.size : 0,
  });
  store(user, arg, info.subarray(0, Math.min(argsz, info.length)));
  return 0;
}

interface Capability {
  readonly bytes: Uint8Array;
  /** Shorter room is filled up to the last of these parts that fits. */
  readonly head: number;
  readonly step: number;
}

const fitting = ({ bytes, head, step }: Capability, room: number): Uint8Array => {
  if (room < head) return bytes.subarray(0, 0);
  const steps = step === 0 ? 0 : Math.floor((room - head) / step);
  return bytes.subarray(0, Math.min(bytes.length, head + steps * step));
};

function dmaAvail(): Capability {
  const bytes = S.CAP_DMA_AVAIL.encode({ id: CAP_ID_DMA_AVAIL, version: 1, avail: DMA_AVAIL });
  return { bytes, head: bytes.length, step: 0 };
}

function iovaCap(ranges: readonly IovaRange[]): Capability {
  const head = S.CAP_IOVA_RANGE.encode({ id: CAP_ID_IOVA_RANGE, version: 1, nr_iovas: ranges.length });
  const list = ranges.map(({ start, last }) => S.IOVA_RANGE.encode({ start, end: last }));
  return { bytes: Buffer.concat([head, ...list]), head: head.length, step: S.IOVA_RANGE.size };
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(S.TYPE1_INFO.size);
  whole.set(bytes);
  return whole;
}
