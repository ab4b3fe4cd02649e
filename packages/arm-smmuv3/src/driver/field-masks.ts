import { type Fields, type Layout, maskOf } from '@iommukit/bits';

/** A mask over a structure's 32-bit words with the bits of the named fields set. */
export function fieldMask<S extends Fields>(layout: Layout<S>, ...names: readonly (keyof S & string)[]): Uint32Array {
  const mask = new Uint32Array(layout.bits / 32);
  for (const name of names) {
    const field = layout.fields[name]!;
    const at = Math.floor(field.lsb / 64) * 2;
    const bits = maskOf(field);
    mask[at]! |= Number(bits & 0xffff_ffffn);
    mask[at + 1]! |= Number(bits >> 32n);
  }
  return mask;
}

/** `mask |= more`. */
export function addMask(mask: Uint32Array, more: Uint32Array): void {
  for (let i = 0; i < mask.length; i++) mask[i]! |= more[i]!;
}

/** `mask &= ~less`. */
export function dropMask(mask: Uint32Array, less: Uint32Array): void {
  for (let i = 0; i < mask.length; i++) mask[i]! &= ~less[i]!;
}
