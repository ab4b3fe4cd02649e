import type { Words } from '@iommukit/bits';
import { DESCRIPTOR_TYPE, DESCRIPTORS, type DescriptorType } from '../format/index.ts';

const SHORT_BITS = 128;

/** Type number of a descriptor: bits 3:0 with bits 11:9 above. */
export const descriptorType = (words: Words): number => (words[0]! & 0xf) | ((words[0]! >>> 5) & 0x70);

/** Granularities that a type does not have. */
const BAD_GRANULARITY: Readonly<Record<number, readonly number[]>> = {
  [DESCRIPTOR_TYPE.CC]: [0],
  [DESCRIPTOR_TYPE.IOTLB]: [0],
  [DESCRIPTOR_TYPE.P_IOTLB]: [0, 1],
  [DESCRIPTOR_TYPE.PC]: [2],
  [DESCRIPTOR_TYPE.HPT]: [0],
};

/** The declaration of a descriptor, or why there is none. */
export function descriptorOf(words: Words): DescriptorType | string {
  const type = descriptorType(words);
  return DESCRIPTORS[type] ?? `type ${type} is not defined`;
}

/** What makes an otherwise known descriptor illegal on any unit; capabilities may forbid more. */
export function descriptorProblems(entry: DescriptorType, words: Words): string[] {
  const problems: string[] = [];
  const granularity = (words[0]! >>> 4) & 3;
  if (BAD_GRANULARITY[entry.type]?.includes(granularity))
    problems.push(`${entry.name}: granularity ${granularity} is not defined`);
  if (words.length * 32 < entry.layout.bits) problems.push(`${entry.name} needs a queue of 256-bit entries`);
  return problems;
}

/** A 128-bit descriptor in a 256-bit entry: what stands in the padding. */
export function padding(entry: DescriptorType, words: Words): boolean {
  return entry.layout.bits === SHORT_BITS && words.slice(SHORT_BITS / 32).some((word) => word !== 0);
}
