/** A dump that cannot be read. The message is one line: file, offset where there is one, and what is wrong. */
export class DumpError extends Error {
  override readonly name = 'DumpError';
  readonly file: string;
  /** Byte offset in the file; null where the whole file is meant. */
  readonly offset: number | null;

  constructor(file: string, offset: number | null, what: string, options?: ErrorOptions) {
    super(`${file}${offset === null ? '' : ` at 0x${offset.toString(16)}`}: ${what}`, options);
    this.file = file;
    this.offset = offset;
  }
}
