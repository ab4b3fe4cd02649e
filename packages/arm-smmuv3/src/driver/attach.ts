import { ensure, isIommuError } from '@iommukit/core';
import { noCd } from './cd.ts';
import type { Master, PasidDomain, SmmuDomain } from './master.ts';

/**
 * Points a device's own requests at `domain`. What the new domain needs is taken first and what the old one leaves is
 * flushed last, so that no tag is free while the hardware may still use it. Throws IommuError EBUSY, EINVAL, ENOENT,
 * ENOMEM with nothing changed; ETIMEDOUT with everything put back.
 */
export function attachDomain(master: Master, domain: SmmuDomain): void {
  master.smmu.operation(() => switchDomain(master, domain));
}

function switchDomain(master: Master, domain: SmmuDomain): void {
  const old = master.domain;
  domain.checkDevice(master);
  ensure(domain.contexts !== 'none' || master.pasids.size === 0, 'EBUSY', 'PASIDs of the device are in use');
  const contexts = domain.contexts === 'own' ? master.contexts() : null;
  const mark = contexts?.mark();
  const stes = master.readSte();
  domain.holder?.retain(master);
  try {
    master.writeSte(domain.ste(master));
  } catch (error) {
    undo(() => {
      master.putBackSte(stes);
      if (mark) contexts?.putBack(mark);
    });
    undo(() => domain.holder?.release(master));
    throw error;
  }
  master.domain = domain;
  if (domain.contexts === 'own') master.contexts().settle();
  if (old.contexts === 'own' && domain.contexts !== 'own') master.contexts().unstage();
  old.holder?.release(master);
}

/** A step back from what went wrong; the first error is the one to tell. */
function undo(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (!isIommuError(error)) throw error;
  }
}

/**
 * Gives one PASID a domain. Throws IommuError EINVAL where the device or the domain of its other requests has no place
 * for PASIDs, or the domain is not for this device; ENOMEM.
 */
export function attachPasid(master: Master, pasid: number, domain: PasidDomain): void {
  master.smmu.operation(() => setPasid(master, pasid, domain));
}

function setPasid(master: Master, pasid: number, domain: PasidDomain): void {
  ensure(domain.contexts === 'own', 'EINVAL', 'a PASID takes a stage-1 domain');
  ensure(pasid > 0 && pasid < master.maxPasids, 'EINVAL', `the device has no PASID ${pasid}`);
  ensure(master.domain.contexts !== 'none', 'EINVAL', 'the device has a stage-2 or nested domain');
  domain.checkDevice(master);
  const contexts = master.contexts();
  contexts.reserve(pasid);
  const old = master.pasids.get(pasid);
  const cd = contexts.read(pasid);
  const stes = master.readSte();
  domain.retain(master);
  try {
    contexts.write(pasid, domain.cd());
    master.pasids.set(pasid, domain);
    refreshStatic(master);
  } catch (error) {
    if (old) master.pasids.set(pasid, old);
    else master.pasids.delete(pasid);
    undo(() => {
      master.putBackSte(stes);
      contexts.putBackCd(pasid, cd);
    });
    undo(() => domain.release(master));
    throw error;
  }
  old?.release(master);
}

/** Refuses one PASID. Takes no memory. */
export function detachPasid(master: Master, pasid: number): void {
  master.smmu.operation(() => clearPasid(master, pasid));
}

function clearPasid(master: Master, pasid: number): void {
  const old = master.pasids.get(pasid);
  if (old === undefined) return;
  master.contexts().write(pasid, noCd());
  master.pasids.delete(pasid);
  refreshStatic(master);
  old.release(master);
}

/** The first PASID brings a CD table into a stream that had none, the last one takes it out. */
function refreshStatic(master: Master): void {
  if (master.domain.contexts === 'static') master.writeSte(master.domain.ste(master));
}
