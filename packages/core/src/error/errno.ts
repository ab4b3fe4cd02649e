/** The errno values the contract uses, with Linux's numbers: the byte face above the core returns them unchanged. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  ESPIPE: 29,
  ERANGE: 34,
  EDEADLOCK: 35,
  ENOSYS: 38,
  EBADE: 52,
  EOVERFLOW: 75,
  EBADFD: 77,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ETIMEDOUT: 110,
} as const;

export type Errno = keyof typeof ERRNO;

const BRAND = Symbol.for('iommukit/IommuError');

/**
 * Misuse of the API, or a resource that is not there. `errno` is stable and part of the contract; the message is for
 * people. A DMA that faults is not an error: it is data, in a {@link FaultRecord}.
 */
export class IommuError extends Error {
  readonly errno: Errno;
  readonly [BRAND] = true;

  constructor(errno: Errno, message: string, options?: ErrorOptions) {
    super(`${errno}: ${message}`, options);
    this.name = 'IommuError';
    this.errno = errno;
  }

  get number(): number {
    return ERRNO[this.errno];
  }
}

/** True for errors of this contract, also when two copies of core live in one process. */
export function isIommuError(error: unknown): error is IommuError {
  return typeof error === 'object' && error !== null && (error as Record<symbol, unknown>)[BRAND] === true;
}

/** Throws {@link IommuError} unless `condition` holds. */
export function ensure(condition: boolean, errno: Errno, message: string): asserts condition {
  if (!condition) throw new IommuError(errno, message);
}
