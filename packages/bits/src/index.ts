export { addr, big, type Field, type FieldKind, type Fields, flag, maskOf, uint, type Values } from './field.ts';
export { bytesToHex, bytesToWords, hex, hexToBytes, hiOf, loOf, toBig, wordsToBytes } from './hex.ts';
export { Layout, type LayoutOptions, layout, type ReservedBits, type Words } from './layout.ts';
export { type Reader, type Reader64, reader, reader64 } from './reader.ts';
export {
  type RegisterBehaviour,
  type RegisterDeclaration,
  type RegisterEffect,
  RegisterFile,
  type RegisterTable,
} from './registers.ts';
