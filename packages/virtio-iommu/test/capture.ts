import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const DIRECTORY = new URL('./fixtures/e-virtio-iommu-strict/', import.meta.url);

export interface CapturedRequest {
  readonly seq: number;
  readonly type: string;
  readonly status: string;
  readonly raw: string;
  readonly write_offset: number;
}

export interface CapturedTranslation {
  readonly after_seq: number;
  readonly endpoint: number;
  readonly iova: string;
  readonly pa: string;
  readonly access: 'r' | 'w';
  readonly map_flags?: number;
}

export interface CapturedFault {
  readonly after_seq: number;
  readonly endpoint: number;
  readonly iova: string;
  readonly access: 'r' | 'w';
  readonly reason: string;
}

export interface CapturedGolden {
  readonly faults: readonly CapturedFault[];
  readonly translations_live_at_end: readonly CapturedTranslation[];
  readonly final_state: readonly {
    readonly domain: number;
    readonly endpoints: readonly string[];
    readonly mappings: readonly {
      readonly virt_start: string;
      readonly virt_end: string;
      readonly phys_start: string;
      readonly flags: number;
    }[];
  }[];
}

const text = (name: string): string => gunzipSync(readFileSync(new URL(name, DIRECTORY))).toString('utf8');
const lines = <T>(name: string): T[] =>
  text(name)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

export const capturedRequests = (): CapturedRequest[] => lines('requests.jsonl.gz');
export const capturedTranslations = (): CapturedTranslation[] => lines('translations.jsonl.gz');
export const capturedGolden = (): CapturedGolden => JSON.parse(text('golden.json.gz')) as CapturedGolden;
