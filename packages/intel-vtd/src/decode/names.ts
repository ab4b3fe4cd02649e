import { FAULT_CONDITIONS } from '../format/index.ts';

/** The manual's name of a fault reason; `ABORT` for -1, a refusal the architecture does not log. */
export function faultName(code: number): string {
  return code === -1 ? 'ABORT' : (FAULT_CONDITIONS.get(code)?.name ?? 'UNKNOWN');
}
