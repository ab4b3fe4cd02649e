import { type Errno, type InvalidationResult, isIommuError } from '@iommukit/core';

/** A promise of the contract that was not kept. */
export class CaseFailure extends Error {}

export function ok(condition: boolean, what: string): asserts condition {
  if (!condition) throw new CaseFailure(what);
}

export function equal<T>(actual: T, expected: T, what: string): void {
  ok(Object.is(actual, expected), `${what}: ${show(actual)}, not ${show(expected)}`);
}

/** Compares lists and plain data by their printed form. */
export function same(actual: unknown, expected: unknown, what: string): void {
  equal(show(actual), show(expected), what);
}

/** `body` must throw an IommuError with one of `errno`. */
export function refuses(errno: Errno | readonly Errno[], body: () => unknown, what: string): void {
  const allowed: readonly Errno[] = typeof errno === 'string' ? [errno] : errno;
  const thrown = errnoOf(body);
  ok(thrown !== null && allowed.includes(thrown), `${what}: ${thrown ?? 'no error'}, not ${allowed.join(' or ')}`);
}

/** The errno `body` throws, null when it throws nothing. An error that is no IommuError passes through. */
export function errnoOf(body: () => unknown): Errno | null {
  try {
    body();
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return null;
}

/** How an invalidation ended; one that throws did nothing. */
export function invalidationOf(body: () => InvalidationResult): {
  readonly done: number;
  readonly errno: Errno | null;
} {
  let result: InvalidationResult | null = null;
  const thrown = errnoOf(() => {
    result = body();
  });
  const { done, error } = (result as InvalidationResult | null) ?? { done: 0, error: null };
  if (error !== null && !isIommuError(error)) throw error;
  return { done, errno: thrown ?? error?.errno ?? null };
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

function show(value: unknown): string {
  if (typeof value === 'bigint') return hex(value);
  if (typeof value !== 'object' || value === null) return String(value);
  return JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? hex(inner) : inner));
}
