/** Hex in 32-bit groups: as a memory dump shows it, and breakable in a narrow column. */
export const groupedHex = (raw: string): string => raw.replaceAll(/.{8}(?=.)/g, '$& ');
