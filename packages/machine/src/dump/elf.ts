import { ADDRESS_LIMIT } from '../memory/chunks.ts';
import { DumpError } from './error.ts';
import type { DumpFile } from './file.ts';
import type { Segment } from './segments.ts';

/** Offsets and numbers of the System V gABI, ELF64: file header, section header, program header. */
const EHDR = { BYTES: 64, CLASS: 4, DATA: 5, VERSION: 6, TYPE: 16, PHOFF: 32, SHOFF: 40, PHENTSIZE: 54, PHNUM: 56 };
const SHDR = { BYTES: 64, INFO: 44 };
const PHDR = { BYTES: 56, TYPE: 0, OFFSET: 8, PADDR: 24, FILESZ: 32, MEMSZ: 40 };
const MAGIC = 0x7f454c46;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const EV_CURRENT = 1;
const ET_CORE = 4;
const PT_LOAD = 1;
/** More program headers than e_phnum can say: the number is in sh_info of section header 0. */
const PN_XNUM = 0xffff;
/** What Linux writes for memory that has no physical address of its own. */
const NO_PHYSICAL_ADDRESS = (1n << 64n) - 1n;

/** The PT_LOAD segments of a core file, in file order. Throws DumpError for a file that is none. */
export function elfSegments(file: DumpFile): Segment[] {
  const header = fileHeader(file);
  const { offset, count } = programHeaders(file, header);
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = offset + i * PHDR.BYTES;
    const segment = loadSegment(file, at, file.header(at, PHDR.BYTES, `program header ${i}`));
    if (segment !== null) segments.push(segment);
  }
  if (segments.length === 0) throw new DumpError(file.name, offset, 'no PT_LOAD segment with a physical address');
  return segments;
}

function fileHeader(file: DumpFile): DataView {
  const magic = file.header(0, 4, 'ELF magic');
  if (magic.getUint32(0) !== MAGIC) throw new DumpError(file.name, 0, 'not an ELF file (raw bytes need FILE@0xBASE)');
  const header = file.header(0, EHDR.BYTES, 'ELF header');
  const check = (at: number, found: number, wanted: number, what: string) => {
    if (found !== wanted) throw new DumpError(file.name, at, `${what}: ${found}, expected ${wanted}`);
  };
  check(EHDR.CLASS, header.getUint8(EHDR.CLASS), ELFCLASS64, 'not 64-bit ELF (EI_CLASS)');
  check(EHDR.DATA, header.getUint8(EHDR.DATA), ELFDATA2LSB, 'not little-endian ELF (EI_DATA)');
  check(EHDR.VERSION, header.getUint8(EHDR.VERSION), EV_CURRENT, 'unknown ELF version (EI_VERSION)');
  check(EHDR.TYPE, header.getUint16(EHDR.TYPE, true), ET_CORE, 'not a core file (e_type)');
  return header;
}

function programHeaders(file: DumpFile, header: DataView): { offset: number; count: number } {
  const entry = header.getUint16(EHDR.PHENTSIZE, true);
  let count = header.getUint16(EHDR.PHNUM, true);
  if (count !== 0 && entry !== PHDR.BYTES)
    throw new DumpError(file.name, EHDR.PHENTSIZE, `e_phentsize: ${entry}, expected ${PHDR.BYTES}`);
  if (count === PN_XNUM) count = extendedCount(file, header);
  const offset = inFile(file, EHDR.PHOFF, header, 'e_phoff');
  if (offset + count * PHDR.BYTES > file.size)
    throw new DumpError(file.name, offset, `truncated: ${count} program headers do not fit in ${file.size} bytes`);
  return { offset, count };
}

function extendedCount(file: DumpFile, header: DataView): number {
  const offset = inFile(file, EHDR.SHOFF, header, 'e_shoff');
  if (offset === 0) throw new DumpError(file.name, EHDR.SHOFF, 'e_phnum is PN_XNUM but there is no section header');
  return file.header(offset, SHDR.BYTES, 'section header 0').getUint32(SHDR.INFO, true);
}

function loadSegment(file: DumpFile, at: number, header: DataView): Segment | null {
  if (header.getUint32(PHDR.TYPE, true) !== PT_LOAD) return null;
  const address = header.getBigUint64(PHDR.PADDR, true);
  const filled = header.getBigUint64(PHDR.FILESZ, true);
  const bytes = header.getBigUint64(PHDR.MEMSZ, true);
  const position = header.getBigUint64(PHDR.OFFSET, true);
  if (bytes === 0n || address === NO_PHYSICAL_ADDRESS) return null;
  if (filled > bytes) throw new DumpError(file.name, at, 'p_filesz is greater than p_memsz');
  if (address + bytes > BigInt(ADDRESS_LIMIT))
    throw new DumpError(file.name, at, `segment at 0x${address.toString(16)} reaches past bit 51`);
  if (position + filled > BigInt(file.size) && filled !== 0n)
    throw new DumpError(
      file.name,
      at,
      `truncated: segment at 0x${address.toString(16)} needs 0x${(position + filled).toString(16)} bytes of file, ` +
        `there are 0x${file.size.toString(16)}`,
    );
  const start = Number(address);
  return { start, end: start + Number(bytes), file, position: Number(position), filled: Number(filled) };
}

function inFile(file: DumpFile, at: number, header: DataView, what: string): number {
  const offset = header.getBigUint64(at, true);
  if (offset > BigInt(file.size))
    throw new DumpError(file.name, at, `${what} 0x${offset.toString(16)} lies past the end of the file`);
  return Number(offset);
}
