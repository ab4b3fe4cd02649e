import { type AttachOps, type DeviceHandle, ensure } from '@iommukit/core';
import { VtdDevice } from './device.ts';
import type { Slot } from './slot.ts';
import type { Attachment, Translation } from './translation.ts';

/**
 * Points one kind of a device's requests at a translation, or at nothing. Everything that can be refused is refused and
 * everything that can run out is taken before the entry changes; if the unit then does not answer, the old entry is put
 * back. A replacement happens in place where hardware can read it whole, else by way of a not-present entry: from one
 * first stage to another, since 64 bytes cannot change at once (VT-d 6.2.2.1).
 */
export function point(device: VtdDevice, pasid: number, translation: Translation | null): void {
  const old = device.attachments.get(pasid) ?? null;
  if (old === null && translation === null) return;
  translation?.check(device, pasid);
  const slot = device.slot(pasid);
  if (translation !== null) slot.prepare();
  const next = translation === null ? null : plan(device, pasid, translation);
  try {
    exchange(slot, old, next);
  } catch (error) {
    next?.translation.releaseDid();
    throw error;
  }
  settle(device, pasid, old, next);
}

function plan(device: VtdDevice, pasid: number, translation: Translation): Attachment {
  const did = translation.acquireDid();
  const { scalable } = device.unit.features;
  const words = scalable ? translation.pasidEntry(did, device) : translation.contextEntry(did, device);
  return { device, pasid, translation, did, words };
}

function exchange(slot: Slot, old: Attachment | null, next: Attachment | null): void {
  try {
    if (old !== null && next !== null && slot.swap(old, next.words)) {
      slot.dropOld(old);
      slot.settle(next.words);
      return;
    }
    if (old !== null) remove(slot, old);
    if (next !== null) install(slot, next);
  } catch (error) {
    putBack(slot, old, next);
    throw error;
  }
}

function remove(slot: Slot, old: Attachment): void {
  slot.hide(old.words);
  slot.dropOld(old);
  slot.wipe();
}

function install(slot: Slot, next: Attachment): void {
  slot.write(next.words);
  slot.dropAbsence(next.did);
}

/** The unit may have seen the new entry already; whether it can still be told is another matter. */
function putBack(slot: Slot, old: Attachment | null, next: Attachment | null): void {
  if (old === null) slot.wipe();
  else slot.write(old.words);
  if (next === null) return;
  try {
    slot.dropOld(next);
  } catch {
    // The error that led here is the one to report.
  }
}

function settle(device: VtdDevice, pasid: number, old: Attachment | null, next: Attachment | null): void {
  if (next === null) device.attachments.delete(pasid);
  else {
    device.attachments.set(pasid, next);
    next.translation.attached(next);
  }
  if (old === null) return;
  old.translation.detached(old);
  old.translation.releaseDid();
}

/** The attach operations every domain of this driver shares. */
export abstract class Attachable implements AttachOps {
  /** What this domain is to a table entry; null for the blocked domain. */
  protected abstract readonly translation: Translation | null;
  abstract free(): void;

  attach(handle: DeviceHandle): void {
    const device = own(handle);
    device.unit.gate.run(() => point(device, 0, this.translation));
  }

  attachPasid(handle: DeviceHandle, pasid: number): void {
    const device = own(handle);
    const { translation } = this;
    if (translation !== null) checkPasid(device, pasid);
    device.unit.gate.run(() => point(device, pasid, translation));
  }
}

function own(handle: DeviceHandle): VtdDevice {
  ensure(handle instanceof VtdDevice, 'EINVAL', 'the device sits behind a unit of another vendor');
  return handle;
}

function checkPasid(device: VtdDevice, pasid: number): void {
  ensure(device.maxPasids > 0, 'EOPNOTSUPP', `${device.description.name} has no PASIDs`);
  const fits = Number.isInteger(pasid) && pasid > 0 && pasid < device.maxPasids;
  ensure(fits, 'EINVAL', `PASID ${pasid} is not below ${device.maxPasids}`);
}
