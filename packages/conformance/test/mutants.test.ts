import type { VendorPlugin } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { cases } from '../src/cases/index.ts';
import { hunt } from '../src/mutants/hunt.ts';
import { mutateDomains, toyMutants, vendorMutants } from '../src/mutants/index.ts';
import { toyOnParent, toyVendor } from '../src/toy/index.ts';

const all = [...toyMutants, ...vendorMutants];

describe('mutants', () => {
  test('there are enough of them, each with a name of its own', () => {
    expect(all.length).toBeGreaterThanOrEqual(25);
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  test.each(all)('$id ($breaks) is caught by $by', (mutant) => {
    expect(hunt(mutant, toyVendor)).toMatchObject({ outcome: 'caught' });
  });

  test.each(all.filter(({ needs = [] }) => needs.includes('nest-parent')))(
    '$id is caught where nested domains sit on the parent',
    (mutant) => {
      expect(hunt(mutant, toyOnParent)).toMatchObject({ outcome: 'caught' });
    },
  );

  test('a mutant that changes nothing is an escape, unless it only narrows what this vendor cannot tell narrower', () => {
    const nothing = { id: 'nothing', breaks: '', by: 'unmap/range-512', mutate: (plugin: VendorPlugin) => plugin };
    expect(hunt(nothing, toyVendor)).toMatchObject({ outcome: 'escaped' });
    expect(hunt({ ...nothing, narrows: true }, toyVendor)).toEqual({
      outcome: 'not-applicable',
      reason: 'everything is told the same with it and without',
    });
    const mutate = (plugin: VendorPlugin) =>
      mutateDomains(plugin, (domain) => {
        domain.syncMap = () => domain.flushAll();
      });
    expect(hunt({ ...nothing, narrows: true, mutate }, toyVendor)).toMatchObject({ outcome: 'escaped' });
  });

  test('a mutant meant for a case that does not exist is an error', () => {
    expect(() => hunt({ ...all[0]!, by: 'no/such-case' }, toyVendor)).toThrow(RangeError);
  });

  test('the honest toy is not caught', () => {
    for (const one of cases)
      expect(hunt({ id: 'honest', breaks: '', by: one.id, mutate: (plugin) => plugin }, toyVendor).outcome).not.toBe(
        'caught',
      );
  });
});
