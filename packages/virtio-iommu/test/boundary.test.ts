import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

/** Which folders of this package, and which packages, a folder may import; `import type` counts. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  format: ['format', '@iommukit/bits'],
  driver: ['driver', 'format', '@iommukit/bits', '@iommukit/core', '@iommukit/page-table'],
  hardware: ['hardware', 'format', '@iommukit/bits', '@iommukit/core'],
  decode: ['decode', 'format', '@iommukit/bits', '@iommukit/core'],
  // A replay is a small board: a device, and just enough guest to hand it requests.
  replay: ['replay', 'format', 'driver', 'hardware', '.', '@iommukit/bits', '@iommukit/core'],
  '.': ['.', 'format', 'driver', 'hardware', 'decode', 'replay', '@iommukit/core'],
};

/** Names of the core that the hardware half may know: ports and faults, nothing above them. */
const HARDWARE_NAMES =
  /^(ACCESS|Access|DmaAnswer|DmaRequest|FAULT_REASON|FaultReason|HardwareModel|HardwarePorts|HardwareProbe|MmioRegion|OUTCOME|PERMISSION|PhysicalMemory|REQUEST_KIND)$/;

interface Import {
  readonly file: string;
  readonly from: string;
  readonly target: string;
  readonly names: readonly string[];
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  const found = text.matchAll(/^(?:import|export)\s+(?:type\s+)?(?:\{([^}]*)\}|\*)?[^;]*?from '([^']+)'/gms);
  const bare = [...text.matchAll(/^import '([^']+)'/gm)].map(([, target]) => [undefined, target] as const);
  return [...[...found].map(([, names, target]) => [names, target] as const), ...bare].map(([names, target]) => ({
    file,
    from: dirname(file),
    target: target!.startsWith('.') ? dirname(normalize(join(dirname(file), target!))) : target!,
    names: (names ?? '')
      .split(',')
      .map((name) => name.replace('type ', '').trim())
      .filter(Boolean),
  }));
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);

describe('the boundary between the halves', () => {
  test('every source file is looked at', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(new Set(imports.map(({ from }) => from))).toEqual(new Set(Object.keys(ALLOWED)));
  });

  test('folders import only what they may', () => {
    const forbidden = imports.filter(({ from, target }) => !ALLOWED[from]!.includes(target));
    expect(forbidden.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });

  test('the hardware half knows the core’s ports and nothing above', () => {
    const strange = imports
      .filter(({ from, target }) => from === 'hardware' && target === '@iommukit/core')
      .flatMap(({ file, names }) =>
        names.filter((name) => !HARDWARE_NAMES.test(name)).map((name) => `${file}: ${name}`),
      );
    expect(strange).toEqual([]);
  });

  test('the container is met in one file', () => {
    const names = imports.filter(({ names: all, target }) => target === 'inversify' || all.includes('vendorModule'));
    expect(names.map(({ file }) => file)).toEqual(['plugin.ts']);
  });
});
