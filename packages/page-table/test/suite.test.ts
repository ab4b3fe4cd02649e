import { describe, test } from 'vitest';
import { pageTableCases } from '../src/testing/index.ts';
import { toyConfigs } from './formats.ts';

describe.each(toyConfigs)('$name', (config) => {
  test.each(pageTableCases)('$id', ({ run }) => run(config));
});
