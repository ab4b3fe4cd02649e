import { expect, test } from 'vitest';
import { runConformance } from '../src/index.ts';
import { toyOnParent, toyVendor } from '../src/toy/index.ts';

test('the toy keeps every promise in every configuration', () => {
  const { cases } = runConformance({ vendors: [toyVendor, toyOnParent] });
  const failures = cases.filter(({ status }) => status === 'fail');
  expect(failures.map(({ config, id, reason }) => `${config} ${id}: ${reason}`)).toEqual([]);
});
