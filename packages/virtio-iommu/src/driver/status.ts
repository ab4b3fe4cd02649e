import { type Errno, IommuError } from '@iommukit/core';
import { REQUEST_STATUS, statusName } from '../format/requests.ts';

const { IOERR, UNSUPP, DEVERR, INVAL, RANGE, NOENT, FAULT, NOMEM } = REQUEST_STATUS;

/** Statuses of ATTACH and DETACH in the words of the contract: EINVAL says that another domain might fit. */
const ATTACH_ERRNO: Readonly<Record<number, Errno>> = {
  [IOERR]: 'EIO',
  [UNSUPP]: 'EINVAL',
  [DEVERR]: 'EIO',
  [INVAL]: 'EINVAL',
  [RANGE]: 'EINVAL',
  [NOENT]: 'ENODEV',
  [NOMEM]: 'ENOMEM',
};

/** Statuses of MAP: FAULT means that the physical side is not the guest's to map. */
const MAP_ERRNO: Readonly<Record<number, Errno>> = {
  [IOERR]: 'EIO',
  [DEVERR]: 'EIO',
  [INVAL]: 'EINVAL',
  [RANGE]: 'ERANGE',
  [NOENT]: 'EIO',
  [FAULT]: 'ERANGE',
  [NOMEM]: 'ENOMEM',
};

export const attachError = (what: string, status: number): IommuError => toError(ATTACH_ERRNO, what, status);
export const mapError = (status: number): IommuError => toError(MAP_ERRNO, 'MAP', status);

/** A missing status (negative) or an undefined one is EIO. */
function toError(table: Readonly<Record<number, Errno>>, what: string, status: number): IommuError {
  const word = status < 0 ? 'returned without a status' : `refused with ${statusName(status) ?? `status ${status}`}`;
  return new IommuError(table[status] ?? 'EIO', `${what} was ${word}`);
}
