import { ensure, type NativeData, type NativeInvalidation } from '@iommukit/core';
import type { Struct, StructFields, StructValues } from '@iommukit/iommufd';

/**
 * A structure of vendor data: at least up to the end of `through`, at most whole; what is missing reads as zero. EINVAL:
 * another length; EFAULT: it cannot be read. The length is judged before the bytes are fetched.
 */
export function dataStruct<F extends StructFields>(
  struct: Struct<F>,
  data: NativeData,
  through: keyof F & string,
): StructValues<F> {
  const length = 'length' in data ? Number(data.length) : data.bytes.length;
  const fits = length >= struct.endOf(through) && length <= struct.size;
  ensure(fits, 'EINVAL', `${struct.name}: ${length} bytes are not ${struct.endOf(through)} … ${struct.size}`);
  const bytes = new Uint8Array(struct.size);
  bytes.set(data.bytes);
  return struct.decode(bytes);
}

/** One entry of an array whose entries have exactly the structure's length. EINVAL otherwise. */
export function arrayEntry<F extends StructFields>(
  struct: Struct<F>,
  { bytes, entryLength }: NativeInvalidation,
  index: number,
): StructValues<F> {
  ensure(entryLength === struct.size, 'EINVAL', `${struct.name}: entries of ${entryLength} bytes`);
  return struct.decode(bytes.subarray(index * entryLength, (index + 1) * entryLength));
}

/** All entries of an array: shorter ones are extended by zeros; longer ones must end in zeros (E2BIG). */
export function wholeArray<F extends StructFields>(
  struct: Struct<F>,
  { bytes, entryLength, entryCount }: NativeInvalidation,
): StructValues<F>[] {
  const entries: StructValues<F>[] = [];
  for (let i = 0; i < entryCount; i++) {
    const raw = bytes.subarray(i * entryLength, (i + 1) * entryLength);
    const zeros = raw.subarray(struct.size).every((byte) => byte === 0);
    ensure(zeros, 'E2BIG', `${struct.name}: unknown fields are set`);
    const known = new Uint8Array(struct.size);
    known.set(raw.subarray(0, struct.size));
    entries.push(struct.decode(known));
  }
  return entries;
}
