import type { DeviceDescription } from '@iommukit/core';
import type { Schedule } from '@iommukit/machine';
import { Plain } from './plain.ts';

/** One IOMMU of the machine. */
export interface UnitEntry {
  readonly id: string;
  readonly vendor: string;
  /** A configuration of the vendor; null: its first. */
  readonly config: string | null;
  readonly hostAddressBits: number;
  /** null: the next free place. */
  readonly mmioBase: bigint | null;
}

/** One device, behind the unit it names. Programs open it as `/dev/vfio/devices/<name>`. */
export interface DeviceEntry extends DeviceDescription {
  readonly unit: string;
}

/** What `--machine` describes. */
export interface MachineDescription {
  readonly schedule: Schedule;
  readonly units: readonly UnitEntry[];
  readonly devices: readonly DeviceEntry[];
}

const U32_MAX = 0xffff_ffff;
const MAX_ADDRESS = (1n << 64n) - 1n;
const MAX_PASID_BITS = 20;
const [NARROWEST, WIDEST] = [36, 52];

/** Reads a parsed document. Throws {@link DescriptionError} for the first thing that is wrong. */
export function parseMachine(document: unknown): MachineDescription {
  const root = new Plain(document, '').fields('schedule', 'units', 'devices');
  const units = root.get('units').list.map(parseUnit);
  if (units.length === 0) root.get('units').fail('a machine has at least one unit');
  distinct(root.get('units'), units, ({ id }) => id);
  const devices = root.get('devices').list.map((entry, i) => parseDevice(entry, i, units));
  distinct(root.get('devices'), devices, ({ name }) => name);
  return { schedule: parseSchedule(root.get('schedule')), units, devices };
}

function parseUnit(entry: Plain, index: number): UnitEntry {
  entry.fields('id', 'vendor', 'config', 'hostAddressBits', 'mmioBase');
  const config = entry.get('config');
  const base = entry.get('mmioBase');
  return {
    id: entry.get('id').text(`unit${index}`),
    vendor: entry.get('vendor').text(),
    config: config.absent ? null : config.text(),
    hostAddressBits: entry.get('hostAddressBits').number(NARROWEST, WIDEST, WIDEST),
    mmioBase: base.absent ? null : base.integer(0n, MAX_ADDRESS),
  };
}

const DEVICE_FIELDS = [
  'name',
  'unit',
  'requesterIds',
  'pasidBits',
  'ats',
  'pri',
  'pasidExec',
  'pasidPriv',
  'coherent',
  'isolation',
  'busLimits',
] as const;

function parseDevice(entry: Plain, index: number, units: readonly UnitEntry[]): DeviceEntry {
  const field = (name: (typeof DEVICE_FIELDS)[number]) => entry.get(name);
  entry.fields(...DEVICE_FIELDS);
  const name = field('name').text(`vfio${index}`);
  if (!/^[\w.:-]+$/.test(name)) field('name').fail('letters, digits and ._:- only');
  const requesterIds = field('requesterIds').list.map((id) => id.number(0, U32_MAX));
  if (requesterIds.length === 0) field('requesterIds').fail('a device has at least one requester id');
  const isolation = field('isolation');
  return {
    name,
    unit: knownUnit(field('unit'), units),
    requesterIds,
    pasidBits: field('pasidBits').number(0, MAX_PASID_BITS, 0),
    ats: field('ats').flag(false),
    pri: field('pri').flag(false),
    pasidExec: field('pasidExec').flag(false),
    pasidPriv: field('pasidPriv').flag(false),
    coherent: field('coherent').flag(true),
    isolation: isolation.absent ? null : isolation.text(),
    busLimits: field('busLimits').list.map(parseRange),
  };
}

function knownUnit(entry: Plain, units: readonly UnitEntry[]): string {
  const id = entry.text(units[0]!.id);
  if (!units.some((unit) => unit.id === id)) entry.fail(`no unit '${id}'`);
  return id;
}

function parseRange(entry: Plain): { start: bigint; last: bigint } {
  entry.fields('start', 'last');
  const start = entry.get('start').integer(0n, MAX_ADDRESS);
  return { start, last: entry.get('last').integer(start, MAX_ADDRESS) };
}

function parseSchedule(entry: Plain): Schedule {
  if (entry.absent) return 'at-once';
  try {
    if (entry.text() === 'at-once') return 'at-once';
  } catch {
    entry.fields('afterPolls', 'seed');
    const polls = entry.get('afterPolls');
    return polls.absent ? { seed: entry.get('seed').number(0, U32_MAX) } : { afterPolls: polls.number(0, U32_MAX) };
  }
  return entry.fail("'at-once', { afterPolls: N } or { seed: N }");
}

function distinct<T>(entry: Plain, list: readonly T[], nameOf: (each: T) => string): void {
  const names = list.map(nameOf);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) entry.fail(`'${twice}' is there twice`);
}
