import { defineConfig } from 'vitest/config';

/** Tests run from the sources: the `source` export condition of every package, no build before. */
const source = { resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source', 'node'] } } };

export default defineConfig({
  ...source,
  test: {
    projects: [
      {
        ...source,
        test: { name: 'packages', include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'], testTimeout: 60_000 },
      },
      { ...source, test: { name: 'examples', include: ['examples/**/*.test.ts'], testTimeout: 60_000 } },
    ],
  },
});
