import type { RecordedRequest, ReplayOptions, ReplaySupport } from '@iommukit/core';
import { REQUEST, REQUEST_LAYOUTS } from '../format/requests.ts';
import { VirtioReplaySession } from './session.ts';
import { parseSettings } from './settings.ts';

/** Byte offset of the endpoint id in the requests that name one. */
const ENDPOINT_AT: Readonly<Record<number, number>> = {
  [REQUEST.ATTACH]: REQUEST_LAYOUTS.ATTACH.fields.endpoint.lsb / 8,
  [REQUEST.DETACH]: REQUEST_LAYOUTS.DETACH.fields.endpoint.lsb / 8,
  [REQUEST.PROBE]: REQUEST_LAYOUTS.PROBE.fields.endpoint.lsb / 8,
};

export const replay: ReplaySupport = {
  endpointsOf({ raw }: RecordedRequest): readonly number[] {
    const at = ENDPOINT_AT[raw[0] ?? 0];
    if (at === undefined || raw.length < at + 4) return [];
    return [new DataView(raw.buffer, raw.byteOffset, raw.byteLength).getUint32(at, true)];
  },
  open({ endpoints, config }: ReplayOptions): VirtioReplaySession {
    return new VirtioReplaySession(parseSettings(config, endpoints));
  },
};
