import { type Field, hiOf, type Layout, loOf, maskOf, type RegisterDeclaration } from '@iommukit/bits';

/** A mask over one 64-bit word as signed halves, so that hot code tests bits without BigInt. */
export interface Mask {
  readonly hi: number;
  readonly lo: number;
}

const halves = (mask: bigint): Mask => ({ hi: hiOf(mask), lo: loOf(mask) });

export const fieldMask = (field: Field): Mask => halves(maskOf(field));

/** The bits of a 64-bit structure that no field claims: the unit insists that they are zero (manual 1). */
export const reservedMask = (layout: Layout): Mask =>
  halves(~Object.values(layout.fields).reduce((claimed, field) => claimed | maskOf(field), 0n));

/** Where a register lies in the frame's 32-bit words. */
export const wordOf = (register: RegisterDeclaration): number => register.at / 4;
