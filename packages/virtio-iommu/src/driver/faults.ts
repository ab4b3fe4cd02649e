import type { AccessName, FaultReasonName, FaultRecord } from '@iommukit/core';
import { FAULT_CODE, faultName } from '../format/events.ts';
import { MAP_FLAG } from '../format/requests.ts';
import type { VirtioDevice } from './device.ts';
import type { RawFault } from './event-consumer.ts';

/**
 * A report in common words. MAPPING covers both "nothing there" and "not for this access"; the driver's own mirror
 * tells which, as of now.
 */
export function toRecord({ bytes, fields }: RawFault, device: VirtioDevice | undefined): FaultRecord {
  const iova = fields.ADDRESS ? fields.address : null;
  const access: AccessName | null = fields.WRITE ? 'write' : fields.READ ? 'read' : null;
  return {
    reason: reasonOf(fields.reason, iova, access, device),
    name: faultName(fields.reason),
    code: fields.reason,
    device: fields.endpoint,
    pasid: null,
    iova,
    access,
    raw: bytes,
  };
}

function reasonOf(
  code: number,
  iova: bigint | null,
  access: AccessName | null,
  device: VirtioDevice | undefined,
): FaultReasonName {
  if (code === FAULT_CODE.DOMAIN) return device ? 'blocked' : 'bad-device';
  if (code !== FAULT_CODE.MAPPING) return 'unknown';
  if (device?.place?.blocks) return 'blocked';
  const found = iova === null ? null : (device?.place?.mirror.at(iova) ?? null);
  if (found === null || access === null) return 'not-present';
  const needed = access === 'write' ? MAP_FLAG.WRITE : MAP_FLAG.READ;
  return (found.flags & needed) === 0 ? 'permission' : 'not-present';
}
