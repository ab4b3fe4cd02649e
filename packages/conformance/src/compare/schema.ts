import type { FaultReasonName } from '@iommukit/core';
import { z } from 'zod';

/** A number, or a `0x…` string for what a number does not hold; comes out as bigint. */
const address = z
  .union([z.int().nonnegative(), z.string().regex(/^(0x[0-9a-fA-F]+|[0-9]+)$/, 'expected a number or 0x…')])
  .transform((value) => BigInt(value));

const name = z.string().min(1);

/** How much: smallest pages, pages of the next larger size, or bytes. Exactly one is given; default one small page. */
const extent = {
  pages: z
    .int()
    .positive()
    .max(1 << 20)
    .optional(),
  largePages: z.int().positive().max(64).optional(),
  bytes: address.optional(),
};

/** What a step should do: go through, be refused by the unit, be refused by the API (an errno), or anything. */
const expect = z
  .union([
    z.enum(['ok', 'fault', 'any']),
    z.string().regex(/^E[A-Z0-9]+$/, "expected 'ok', 'fault', 'any' or an errno"),
  ])
  .default('ok');

const pasid = z.int().nonnegative().optional();

/** An address, or one that depends on the vendor: the last page of the domain's aperture, the first address past it. */
const place = z.union([address, z.literal('top'), z.literal('beyond')]);

export const stepSchema = z.discriminatedUnion('do', [
  z.strictObject({
    do: z.literal('domain'),
    name,
    device: name,
    flags: z.array(z.enum(['nest-parent', 'dirty-tracking', 'pasid'])).default([]),
    expect,
  }),
  z.strictObject({ do: z.literal('attach'), device: name, domain: name, pasid, expect }),
  z.strictObject({ do: z.literal('replace'), device: name, domain: name, pasid, expect }),
  z.strictObject({ do: z.literal('detach'), device: name, pasid, expect }),
  z.strictObject({
    do: z.literal('map'),
    domain: name,
    iova: place,
    ...extent,
    prot: z
      .string()
      .regex(/^r?w?$/, "expected 'r', 'w' or 'rw'")
      .min(1)
      .default('rw'),
    expect,
  }),
  z.strictObject({ do: z.literal('unmap'), domain: name, iova: place, ...extent, expect }),
  z.strictObject({ do: z.literal('flush'), domain: name, expect }),
  z.strictObject({
    do: z.literal('dma'),
    device: name,
    access: z.enum(['read', 'write', 'execute']),
    iova: place,
    domain: name.optional(),
    bytes: z
      .int()
      .positive()
      .max(1 << 20)
      .default(8),
    pasid,
    requesterId: z.int().nonnegative().optional(),
    reason: z.custom<FaultReasonName>((value) => typeof value === 'string').optional(),
    expect,
  }),
  z.strictObject({ do: z.literal('guest'), name, device: name, expect }),
  z.strictObject({
    do: z.literal('guest-map'),
    guest: name,
    iova: address,
    writable: z.boolean().default(true),
    expect,
  }),
  z.strictObject({ do: z.literal('guest-unmap'), guest: name, iova: address, expect }),
  z.strictObject({ do: z.literal('invalidate'), guest: name, iova: address.optional(), expect }),
  z.strictObject({ do: z.literal('track-dirty'), domain: name, on: z.boolean().default(true), expect }),
  z.strictObject({ do: z.literal('read-dirty'), domain: name, iova: address, ...extent, expect }),
  z.strictObject({ do: z.literal('reserved'), device: name, expect }),
  z.strictObject({ do: z.literal('hw-info'), device: name, expect }),
]);

const deviceSchema = z.strictObject({
  requesterId: z.int().nonnegative(),
  pasidBits: z.int().min(0).max(20).default(0),
  coherent: z.boolean().default(true),
  isolation: z.string().nullable().default(null),
});

export const scenarioSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'expected lower-case words joined by -'),
  title: name,
  question: name,
  devices: z.record(name, deviceSchema).default({ nic: deviceSchema.parse({ requesterId: 0x10 }) }),
  steps: z.array(stepSchema).min(1),
});

export type Step = z.output<typeof stepSchema>;
export type StepOf<D extends Step['do']> = Extract<Step, { do: D }>;
export type ScenarioInput = z.input<typeof scenarioSchema>;
