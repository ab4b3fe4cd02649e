import { afterAll, describe, expect, test } from 'vitest';
import { run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const json = async (...argv: string[]) => {
  const { code, stdout, stderr } = await run('compare', ...argv, '--format', 'json');
  return { code, stderr, scenarios: stdout === '' ? [] : JSON.parse(stdout).scenarios };
};

const OWN = `
id: own
title: A page of one's own
question: Does a scenario from a file run?
steps:
  - { do: domain, name: d, device: nic }
  - { do: attach, device: nic, domain: d }
  - { do: map, domain: d, iova: 0x40000000 }
  - { do: dma, device: nic, access: read, iova: 0x40000000, bytes: 8 }
`;

test('json: each vendor has an outcome, steps, native entries raw and decoded, and faults in both forms', async () => {
  const { code, stderr, scenarios } = await json('unmap-one-page');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(scenarios.length).toBe(1);
  const [{ id, title, question, vendors }] = scenarios;
  expect([id, typeof title, typeof question]).toEqual(['unmap-one-page', 'string', 'string']);
  expect(Object.keys(vendors)).toEqual(['arm-smmuv3', 'intel-vtd', 'virtio-iommu']);
  for (const [vendor, command] of [
    ['arm-smmuv3', 'CMD_TLBI_NH_VA'],
    ['intel-vtd', 'p_iotlb_inv_dsc'],
    ['virtio-iommu', 'VIRTIO_IOMMU_T_UNMAP'],
  ] as const) {
    const { outcome, steps, native, faults } = vendors[vendor];
    expect([vendor, outcome, steps.length]).toEqual([vendor, 'as-expected', 6]);
    const entry = native.find(({ name }: { name: string }) => name === command);
    expect(entry).toMatchObject({ raw: expect.stringMatching(/^[0-9a-f]+$/), role: 'command' });
    const values = Object.values(entry.fields);
    expect(values.length).toBeGreaterThan(2);
    expect(values.every((value) => ['number', 'string'].includes(typeof value))).toBe(true);
    expect(faults).toEqual([
      expect.objectContaining({
        common: expect.objectContaining({ reason: 'not-present' }),
        native: expect.objectContaining({ record: expect.stringMatching(/^[0-9a-f]+$/) }),
      }),
    ]);
  }
});

test('at least six scenarios come with the kit, and every vendor answers them as expected or not at all', async () => {
  const { code, scenarios } = await json();
  expect(code).toBe(0);
  expect(scenarios.length).toBeGreaterThanOrEqual(6);
  for (const { id, vendors } of scenarios)
    for (const [vendor, { outcome }] of Object.entries(vendors) as [string, { outcome: string }][])
      expect([id, vendor, outcome]).not.toEqual([id, vendor, 'unexpected']);
});

test('table, markdown and html hold the same answer', async () => {
  for (const format of ['table', 'markdown', 'html']) {
    const { code, stdout } = await run('compare', 'unmap-one-page', '--vendor', 'arm-smmuv3', '--format', format);
    expect([format, code]).toEqual([format, 0]);
    expect(stdout).toContain('CMD_TLBI_NH_VA');
    expect(stdout).toContain('F_TRANSLATION');
    expect(stdout).not.toContain('intel-vtd');
  }
});

describe('a scenario from a file', () => {
  test('runs beside the others', async () => {
    const { code, scenarios } = await json(scratch.file('own.yaml', OWN), 'identity', '--vendor', 'virtio-iommu');
    expect(code).toBe(0);
    expect(scenarios.map(({ id }: { id: string }) => id)).toEqual(['own', 'identity']);
  });

  test('a step that does something else than it should is exit 1', async () => {
    const file = scratch.file('wrong.yaml', OWN.replace('bytes: 8 }', 'bytes: 8, expect: fault }'));
    const { code, scenarios } = await json(file, '--vendor', 'intel-vtd');
    expect(code).toBe(1);
    expect(scenarios[0].vendors['intel-vtd']).toMatchObject({ outcome: 'unexpected' });
  });

  test.each([
    ['no YAML', 'steps: [', /bad\.yaml: /],
    ['no scenario', 'just a text', /bad\.yaml: /],
    ['an unknown step', OWN.replace('do: map', 'do: teleport'), /bad\.yaml: .*steps/],
    ['an unknown member', OWN.replace('question:', 'quest:'), /bad\.yaml: .*quest/],
  ])('%s is exit 2', async (_, text, message) => {
    const result = await run('compare', scratch.file('bad.yaml', text));
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n').length).toBe(1);
  });
});

test('--list runs nothing; an unknown name is exit 2', async () => {
  expect((await run('compare', '--list')).stdout).toMatch(/^unmap-one-page {2}\S.*\n {4}\S/);
  expect((await json('--list')).scenarios[0]).toMatchObject({ id: 'unmap-one-page' });
  const unknown = await run('compare', 'absent');
  expect(unknown).toMatchObject({ code: 2, stdout: '' });
  expect(unknown.stderr).toMatch(/neither a scenario nor a file: 'absent'/);
});
