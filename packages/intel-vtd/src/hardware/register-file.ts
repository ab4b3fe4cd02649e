import { type RegisterEffect, RegisterFile, type RegisterTable } from '@iommukit/bits';
import {
  FRAME_BYTES,
  FRCD_BYTES,
  IOTLB_AFTER_IVA,
  IOTLB_WRITABLE,
  IVA_WRITABLE,
  REGISTERS,
  type VtdRegister,
} from '../format/index.ts';
import type { Features } from './features.ts';

const F_BIT = 1n << 63n;

/** The fault record's upper half, where its F bit is. */
export const frcdName = (index: number): string => `FRCD${index}_HI`;

/** Register frames of fault records and IOTLB must not lie outside the page or over other registers. */
function fits(table: RegisterTable, at: number, bytes: number): boolean {
  if (at + bytes > FRAME_BYTES) return false;
  return Object.values(table).every((register) => at + bytes <= register.at || register.at + register.size <= at);
}

function faultRecords(table: Record<string, VtdRegister>, features: Features): void {
  for (let i = 0; i < features.faultRecords; i++) {
    const at = (features.cap.FRO + i) * FRCD_BYTES;
    if (!fits(table, at, FRCD_BYTES)) return;
    table[`FRCD${i}_LO`] = { at, size: 8 };
    table[frcdName(i)] = { at: at + 8, size: 8, clearOnOne: F_BIT };
  }
}

function iotlbRegisters(table: Record<string, VtdRegister>, features: Features): void {
  const at = features.ecap.IRO * 16;
  if (!fits(table, at, 2 * IOTLB_AFTER_IVA)) return;
  table.IVA = { at, size: 8, writable: IVA_WRITABLE };
  table.IOTLB = { at: at + IOTLB_AFTER_IVA, size: 8, writable: IOTLB_WRITABLE };
}

function exists(register: VtdRegister, features: Features): boolean {
  if (register.feature === undefined) return true;
  const [which, bit] = register.feature.split('.') as ['CAP' | 'ECAP', string];
  const values: Readonly<Record<string, boolean | number>> = which === 'CAP' ? features.cap : features.ecap;
  return Boolean(values[bit]);
}

/** The declared registers this unit has, with the ones whose place its capabilities give. */
export function registerTable(features: Features): RegisterTable {
  const table: Record<string, VtdRegister> = {};
  for (const [name, register] of Object.entries(REGISTERS)) if (exists(register, features)) table[name] = register;
  table.VER = { ...REGISTERS.VER, reset: BigInt(features.version) };
  table.CAP = { ...REGISTERS.CAP, reset: features.capBits };
  table.ECAP = { ...REGISTERS.ECAP, reset: features.ecapBits };
  faultRecords(table, features);
  iotlbRegisters(table, features);
  return table;
}

export function registerFile(features: Features, effects: Readonly<Record<string, RegisterEffect>>): RegisterFile {
  const table = registerTable(features);
  const present = Object.fromEntries(Object.entries(effects).filter(([name]) => name in table));
  return new RegisterFile(table, FRAME_BYTES, { effects: present });
}
