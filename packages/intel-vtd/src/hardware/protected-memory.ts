import { REGISTERS } from '../format/index.ts';
import type { UnitState } from './state.ts';

/** Regions come in units of 2 MiB: the base and limit registers hold no lower bits. */
const UNIT_LG2 = 21;
const LOW = REGISTERS.PLMBASE.at / 4;
const HIGH = REGISTERS.PHMBASE.at / 4;

const unitOf = (hi: number, lo: number): number => (hi >>> 0) * 2 ** (32 - UNIT_LG2) + (lo >>> UNIT_LG2);

/** Whether an address lies in the low or high protected region; a limit below its base is an empty one. VT-d 11.4.8. */
export function inProtectedRegion({ words, features }: UnitState, hi: number, lo: number): boolean {
  const unit = unitOf(hi, lo);
  if (features.cap.PLMR && unit >= unitOf(0, words[LOW]!) && unit <= unitOf(0, words[LOW + 1]!)) return true;
  if (!features.cap.PHMR) return false;
  return unit >= unitOf(words[HIGH + 1]!, words[HIGH]!) && unit <= unitOf(words[HIGH + 3]!, words[HIGH + 2]!);
}
