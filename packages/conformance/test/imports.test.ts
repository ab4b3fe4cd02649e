import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { describe, expect, test } from 'vitest';

const PACKAGES = fileURLToPath(new URL('../../', import.meta.url));
const SCOPE = '@iommukit/';

interface Import {
  /** Path of the importing file, from `packages/`. */
  readonly file: string;
  /** A package's name, or the path of the imported file from `packages/`. */
  readonly target: string;
  readonly names: readonly string[];
  readonly typeOnly: boolean;
}

const sourcesOf = (folder: string): string[] =>
  readdirSync(join(PACKAGES, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(folder, file));

const importsOf = (file: string): Import[] => importsIn(file, readFileSync(join(PACKAGES, file), 'utf8'));

/** Every import and re-export of a file, `import type` and dynamic imports of a literal included. */
function importsIn(file: string, text: string): Import[] {
  const { module, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]!.message}`);
  const target = (request: string) =>
    request.startsWith('.') ? relative(PACKAGES, resolve(PACKAGES, dirname(file), request)) : request;
  const statics = module.staticImports.map(({ moduleRequest, entries }) => ({
    file,
    target: target(moduleRequest.value),
    names: entries.map(({ importName }) => importName.name ?? '*'),
    typeOnly: entries.length > 0 && entries.every(({ isType }) => isType),
  }));
  const reexports = module.staticExports.flatMap(({ entries }) =>
    entries
      .filter(({ moduleRequest }) => moduleRequest !== null)
      .map(({ moduleRequest, importName, isType }) => ({
        file,
        target: target(moduleRequest!.value),
        names: [importName.name ?? '*'],
        typeOnly: isType,
      })),
  );
  const dynamic = module.dynamicImports.flatMap(({ moduleRequest }) => {
    const literal = text.slice(moduleRequest.start, moduleRequest.end);
    return /^['"]/.test(literal) ? [{ file, target: target(literal.slice(1, -1)), names: ['*'], typeOnly: false }] : [];
  });
  return [...statics, ...reexports, ...dynamic];
}

const packages = readdirSync(PACKAGES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const imports = packages.flatMap((name) => sourcesOf(join(name, 'src')).flatMap(importsOf));

/** The vendor that shows how to write one keeps the rules it shows. */
const EXAMPLE = '../examples/write-a-vendor/src';
const everywhere = [...imports, ...sourcesOf(EXAMPLE).flatMap(importsOf)];

/** Vendors by the folder that holds their halves; the toy is one, the example another. */
const vendors = everywhere
  .map(({ file }) => /^(.*)\/hardware\//.exec(file.split(sep).join('/'))?.[1])
  .filter((folder, i, all): folder is string => folder !== undefined && all.indexOf(folder) === i);

const packageOf = (file: string): string => file.split(sep)[0]!;

/**
 * What each package may import of ours at run time; anything else is a package of the registry. What is neither here nor a
 * vendor is an application (the command, a server): it may import all of them, and none of them imports it.
 */
const RUNTIME: Readonly<Record<string, readonly string[]>> = {
  bits: [],
  core: ['bits'],
  'page-table': ['core', 'bits'],
  machine: ['core', 'bits'],
  iommufd: ['core', 'bits'],
  // A vendor for the user API's own tests: it knows that API, and has no hardware half.
  'mock-iommu': ['core', 'bits', 'iommufd'],
  conformance: ['core', 'bits', 'page-table', 'machine', 'iommufd'],
};
const VENDOR_RUNTIME = ['core', 'bits', 'page-table'];

/** Inside a vendor: the folders, and our packages, that a folder may import. `.`: the files beside the folders. */
const INSIDE: Readonly<Record<string, readonly string[]>> = {
  format: ['bits'],
  driver: ['format', 'core', 'page-table', 'bits'],
  hardware: ['format', 'core', 'bits'],
  decode: ['format', 'hardware', 'core', 'bits'],
  guest: ['format', 'core', 'bits'],
  dump: ['format', 'hardware', 'core', 'bits'],
  replay: ['format', 'hardware', 'driver', 'core', 'bits', '.'],
};

/** What a hardware half may know of the core: folders of its source. */
const HARDWARE_MAY_KNOW = ['ports', 'fault', 'plugin'];

const forbidden = (list: readonly Import[], rule: (one: Import) => boolean): string[] =>
  list.filter(rule).map(({ file, target }) => `${file} imports ${target}`);

describe('who imports whom', () => {
  test('every way to import is seen', () => {
    const text = `
      import { a, type B } from '@iommukit/core';
      import type { C } from '../hardware/c.ts';
      import './side.ts';
      export { d } from './d.ts';
      export type * from './e.ts';
      const f = await import('./f.ts');
    `;
    expect(importsIn(join('toy', 'src', 'driver', 'x.ts'), text)).toMatchObject([
      { target: '@iommukit/core', names: ['a', 'B'], typeOnly: false },
      { target: join('toy', 'src', 'hardware', 'c.ts'), names: ['C'], typeOnly: true },
      { target: join('toy', 'src', 'driver', 'side.ts'), typeOnly: false },
      { target: join('toy', 'src', 'driver', 'd.ts'), names: ['d'] },
      { target: join('toy', 'src', 'driver', 'e.ts'), typeOnly: true },
      { target: join('toy', 'src', 'driver', 'f.ts') },
    ]);
  });

  test('every package and every vendor is looked at', () => {
    expect(packages.length).toBeGreaterThanOrEqual(9);
    expect(vendors).toEqual(
      expect.arrayContaining(['arm-smmuv3/src', 'intel-vtd/src', 'virtio-iommu/src', 'conformance/src/toy', EXAMPLE]),
    );
    expect(imports.length).toBeGreaterThan(500);
  });

  test('packages point inward', () => {
    const wrong = forbidden(imports, ({ file, target }) => {
      const own = packageOf(file);
      const allowed = RUNTIME[own] ?? (vendors.includes(`${own}/src`) ? VENDOR_RUNTIME : null);
      return allowed !== null && target.startsWith(SCOPE) && !allowed.includes(target.slice(SCOPE.length));
    });
    expect(wrong).toEqual([]);
  });

  test('core takes nothing but types from outside, save its container', () => {
    const wrong = forbidden(imports, ({ file, target, typeOnly }) => {
      if (packageOf(file) !== 'core' || target.startsWith('core')) return false;
      const container = file.endsWith(join('plugin', 'container.ts'));
      return target.startsWith(SCOPE) ? !typeOnly : !(container && ['inversify', 'reflect-metadata'].includes(target));
    });
    expect(wrong).toEqual([]);
  });

  test('a relative import stays in its package, and a package is met at its door', () => {
    const wrong = forbidden(imports, ({ file, target }) => {
      if (target.startsWith(SCOPE)) return target.split('/').length > 2 && packageOf(file) !== 'cli';
      const local = target.endsWith('.ts');
      return local && packageOf(target) !== packageOf(file);
    });
    expect(wrong).toEqual([]);
  });

  test('only plugin.ts and the core know inversify', () => {
    const wrong = forbidden(
      imports,
      ({ file, target }) =>
        target === 'inversify' && packageOf(file) !== 'cli' && !/(^|\/)(plugin|container)\.ts$/.test(file),
    );
    expect(wrong).toEqual([]);
  });

  test('only the face for vitest imports vitest', () => {
    const wrong = forbidden(
      imports,
      ({ file, target }) => target === 'vitest' && !/(vitest\.ts|testing\/.*\.ts)$/.test(file),
    );
    expect(wrong).toEqual([]);
  });
});

describe.each(vendors)('%s', (vendor) => {
  const folderOf = (file: string): string => {
    const [first, ...rest] = relative(vendor, file).split(sep);
    return rest.length === 0 ? '.' : first!;
  };
  const own = everywhere.filter(({ file }) => file.startsWith(`${vendor}${sep}`));

  test('has both halves and their common declarations', () => {
    const folders = new Set(own.map(({ file }) => folderOf(file)));
    expect([...folders]).toEqual(expect.arrayContaining(['format', 'driver', 'hardware']));
    for (const folder of folders) expect(folder === '.' || folder in INSIDE, folder).toBe(true);
  });

  test('its folders import what they may', () => {
    const wrong = forbidden(own, ({ file, target }) => {
      const from = folderOf(file);
      if (from === '.') return false;
      const to = target.startsWith(SCOPE)
        ? target.slice(SCOPE.length)
        : target.endsWith('.ts')
          ? folderOf(target)
          : null;
      if (to === null) return !target.startsWith('node:');
      return to !== from && !INSIDE[from]!.includes(to);
    });
    expect(wrong).toEqual([]);
  });

  test('neither half reaches the other by a detour', () => {
    for (const [from, to] of [
      ['driver', 'hardware'],
      ['hardware', 'driver'],
    ] as const)
      expect(reached(own, vendor, from).filter((file) => folderOf(file) === to)).toEqual([]);
  });

  test('its hardware knows the ports, faults and plugin types of the core and nothing above', () => {
    const strange = own
      .filter(({ file, target }) => folderOf(file) === 'hardware' && target === `${SCOPE}core`)
      .flatMap(({ file, names }) =>
        names.filter((name) => !HARDWARE_MAY_KNOW.includes(coreFolders.get(name)!)).map((name) => `${file}: ${name}`),
      );
    expect(strange).toEqual([]);
  });
});

/** In which folder of the core a name is declared. */
const coreFolders = new Map(
  sourcesOf(join('core', 'src')).flatMap((file) => {
    const { module } = parseSync(file, readFileSync(join(PACKAGES, file), 'utf8'));
    const folder = file.split(sep)[2]!;
    return module.staticExports.flatMap(({ entries }) =>
      entries.map(({ exportName }): [string, string] => [exportName.name ?? '*', folder]),
    );
  }),
);

/** Files of a vendor that can be reached by imports from one of its folders. */
function reached(own: readonly Import[], vendor: string, folder: string): string[] {
  const seen = new Set(own.map(({ file }) => file).filter((file) => file.startsWith(join(vendor, folder) + sep)));
  for (const file of seen)
    for (const { file: from, target } of own)
      if (from === file && target.startsWith(`${vendor}${sep}`)) seen.add(target);
  return [...seen];
}
