import { integerIn, MAX_ID, shown } from './number.ts';

const PCI = /^(?:[0-9a-f]{4}:)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i;

/**
 * A requester id: a number, `0x…`, or `BB:DD.F` / `SSSS:BB:DD.F` where `pciIds` says that the vendor's ids are PCI
 * requester ids. A unit serves one segment, so the segment is no part of the id. Throws RangeError.
 */
export function parseDevice(value: unknown, pciIds: boolean): number {
  const pci = typeof value === 'string' ? PCI.exec(value) : null;
  if (pci === null) return Number(integerIn(value, 'device', 0n, MAX_ID));
  if (!pciIds) throw new RangeError(`device ${shown(value)}: this vendor's ids are no PCI addresses; give a number`);
  const [bus, slot, fn] = [pci[1]!, pci[2]!, pci[3]!].map((digits) => Number.parseInt(digits, 16));
  if (slot! > 0x1f) throw new RangeError(`device ${shown(value)}: a PCI device number ends at 1f`);
  return (bus! << 8) | (slot! << 3) | fn!;
}

/** `00:02.0`, for people; an id wider than a PCI requester id stays a number. */
export function formatPci(device: number): string {
  if (device > 0xffff) return `0x${device.toString(16)}`;
  const two = (value: number) => value.toString(16).padStart(2, '0');
  return `${two(device >> 8)}:${two((device >> 3) & 0x1f)}.${device & 7}`;
}
