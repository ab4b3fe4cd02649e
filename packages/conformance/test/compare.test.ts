import { describe, expect, test } from 'vitest';
import { parseScenario, runComparison, ScenarioError, scenarios } from '../src/index.ts';
import { toyVendor } from '../src/toy/index.ts';

const minimal = {
  id: 'mine',
  title: 'Mine',
  question: 'Does it?',
  steps: [
    { do: 'domain', name: 'd', device: 'nic' },
    { do: 'attach', device: 'nic', domain: 'd' },
    { do: 'map', domain: 'd', iova: '0x40000000' },
    { do: 'dma', device: 'nic', access: 'read', iova: 0x4000_0000 },
  ],
};

describe('comparison', () => {
  test('the toy does what every scenario expects', () => {
    const report = runComparison({ scenarios, vendors: [toyVendor] });
    const wrong = report.scenarios.filter(({ vendors }) => vendors.toy?.outcome !== 'as-expected');
    expect(
      wrong.map(({ id, vendors }) => [id, vendors.toy?.steps.find(({ expected }) => !expected), vendors.toy?.notes]),
    ).toEqual([]);
    expect(report.scenarios.length).toBeGreaterThanOrEqual(8);
  });

  test('native entries are raw and decoded, and belong to their step', () => {
    const unmap = scenarios.find(({ id }) => id === 'unmap-one-page')!;
    const { toy } = runComparison({ scenarios: [unmap], vendors: [toyVendor] }).scenarios[0]!.vendors;
    const commands = toy!.native.filter(({ role, step }) => role === 'command' && step === 4);
    expect(commands.map(({ name }) => name)).toEqual(['INV_RANGE']);
    expect(commands[0]!.raw).toHaveLength(32);
    expect(commands[0]!.fields).toMatchObject({ COUNT: 0, ADDR: '0x40000000' });
    expect(toy!.faults).toMatchObject([
      { step: 5, common: { reason: 'not-present', device: 0x10, iova: '0x40000000', access: 'write' } },
    ]);
    expect(toy!.native.filter(({ role }) => role === 'record').map(({ name }) => name)).toEqual(['NOT_PRESENT']);
    expect(JSON.parse(JSON.stringify(toy))).toEqual(toy);
  });

  test('a vendor without a capability is unsupported, with its errno', () => {
    const poor = { ...toyVendor, configs: toyVendor.configs.filter(({ name }) => name === 'nothing') };
    const pasid = scenarios.find(({ id }) => id === 'pasid')!;
    const { toy } = runComparison({ scenarios: [pasid], vendors: [poor] }).scenarios[0]!.vendors;
    expect(toy!.outcome).toBe('unsupported');
    expect(toy!.steps[0]).toMatchObject({ result: 'errno', expected: false });
    expect(toy!.steps[0]!.detail).toMatch(/^EOPNOTSUPP/);
    expect(toy!.steps.slice(1).every(({ result }) => result === 'skipped')).toBe(true);
  });

  test('an expectation that fails is unexpected', () => {
    const wrong = parseScenario({
      ...minimal,
      steps: [...minimal.steps.slice(0, 3), { ...minimal.steps[3], expect: 'fault' }],
    });
    const { toy } = runComparison({ scenarios: [wrong], vendors: [toyVendor] }).scenarios[0]!.vendors;
    expect(toy!.outcome).toBe('unexpected');
  });

  test('an errno can be what a scenario expects', () => {
    const twice = { do: 'map', domain: 'd', iova: 0x4000_0000, expect: 'EEXIST' };
    const steps = [...minimal.steps.slice(0, 3), twice];
    const { toy } = runComparison({ scenarios: [parseScenario({ ...minimal, steps })], vendors: [toyVendor] })
      .scenarios[0]!.vendors;
    expect(toy!.outcome).toBe('as-expected');
    expect(toy!.steps[3]!.result).toBe('errno');
  });

  test('a crash of one vendor is its own outcome', () => {
    const broken = {
      ...toyVendor,
      id: 'broken',
      createDriver: () => {
        throw new Error('bang');
      },
    };
    const { vendors } = runComparison({ scenarios: [parseScenario(minimal)], vendors: [broken, toyVendor] })
      .scenarios[0]!;
    expect(vendors.broken).toMatchObject({ outcome: 'unexpected', notes: ['Error: bang'] });
    expect(vendors.toy!.outcome).toBe('as-expected');
  });

  test.each([
    ['no steps', { ...minimal, steps: [] }, /^steps: /],
    ['an unknown step', { ...minimal, steps: [{ do: 'dance' }] }, /^steps\.0\.do: /],
    [
      'an address that is none',
      { ...minimal, steps: [...minimal.steps.slice(0, 2), { do: 'map', domain: 'd', iova: 'x' }] },
      /^steps\.2\.iova: /,
    ],
    ['an unknown field', { ...minimal, colour: 'red' }, /colour/],
    [
      'an unknown domain',
      { ...minimal, steps: [{ do: 'attach', device: 'nic', domain: 'd' }] },
      /^steps\.0\.domain: there is no domain 'd'/,
    ],
    ['an unknown device', { ...minimal, steps: [{ do: 'detach', device: 'gpu' }] }, /^steps\.0\.device: /],
    [
      'two sizes',
      {
        ...minimal,
        steps: [...minimal.steps.slice(0, 2), { do: 'unmap', domain: 'd', iova: 0, pages: 1, bytes: 4096 }],
      },
      /^steps\.2: /,
    ],
    ['no object', 'scenario', /./],
  ])('%s is refused in one line that names the place', (_title, value, message) => {
    let said = '';
    try {
      parseScenario(value);
    } catch (error) {
      expect(error).toBeInstanceOf(ScenarioError);
      said = (error as Error).message;
    }
    expect(said).toMatch(message);
    expect(said).not.toContain('\n');
  });
});
