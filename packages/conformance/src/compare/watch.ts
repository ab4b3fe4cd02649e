import { bytesToHex, wordsToBytes } from '@iommukit/bits';
import type { DecodedEntry, HardwareModel, NativeDecoder, ReportedFault } from '@iommukit/core';
import { hex } from '../expect.ts';
import type { FaultReport, NativeReport } from './report.ts';

/** Collects what a unit reads, takes and writes, and what is reported of it. */
export class Watch {
  /** Index of the step that runs now. */
  step = 0;
  readonly native: NativeReport[] = [];
  readonly faults: FaultReport[] = [];

  /** Listens from now on. */
  constructor(hardware: HardwareModel, decoder: NativeDecoder) {
    hardware.probe = {
      structure: (what, address, layout, words) => {
        this.#add('structure', {
          kind: layout.name,
          name: `${what} at ${hex(address)}`,
          raw: bytesToHex(wordsToBytes(words)),
          fields: layout.decode(words),
          labels: layout.labels(words),
        });
      },
      command: (kind, raw) => this.#add('command', decode(decoder, kind, raw)),
      record: (kind, raw) => this.#add('record', decode(decoder, kind, raw)),
    };
  }

  fault({ record }: ReportedFault): void {
    const { reason, device, pasid, iova, access, name, code, raw } = record;
    this.faults.push({
      step: this.step,
      common: { reason, device, pasid, iova: iova === null ? null : hex(iova), access },
      native: { name, code, record: bytesToHex(raw) },
    });
  }

  #add(role: NativeReport['role'], entry: Entry): void {
    const { kind, name, raw, labels = {} } = entry;
    const fields = Object.fromEntries(
      Object.entries(entry.fields).map(([key, value]) => [key, typeof value === 'bigint' ? hex(value) : value]),
    );
    this.native.push({ step: this.step, role, kind, name, raw, fields, labels });
  }
}

type Entry = Pick<DecodedEntry, 'kind' | 'name' | 'raw' | 'fields' | 'labels'>;

function decode(decoder: NativeDecoder, kind: string, raw: Uint8Array): Entry {
  if (!decoder.kinds.includes(kind)) return { kind, name: 'UNKNOWN', raw: bytesToHex(raw), fields: {} };
  return decoder.decode(kind, raw);
}
