/** Width and sign of a field. All little-endian. */
export type FieldKind = 'u8' | 'u16' | 'u32' | 's32' | 'u64';

export interface StructField<K extends FieldKind = FieldKind> {
  readonly kind: K;
  /** Byte offset in the structure. */
  readonly at: number;
}

const SIZE_OF: Readonly<Record<FieldKind, number>> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8 };

const fieldOf =
  <K extends FieldKind>(kind: K) =>
  (at: number): StructField<K> => ({ kind, at });

export const u8 = fieldOf('u8');
export const u16 = fieldOf('u16');
export const u32 = fieldOf('u32');
export const s32 = fieldOf('s32');
export const u64 = fieldOf('u64');

export type StructFields = Readonly<Record<string, StructField>>;
export type ValueOf<K extends FieldKind> = K extends 'u64' ? bigint : number;
export type StructValues<F extends StructFields> = { [N in keyof F]: ValueOf<F[N]['kind']> };

type Accessor = {
  read(view: DataView): number | bigint;
  write(view: DataView, value: number | bigint): void;
};

/** The layout of one structure of the user API: declared once, read and written by everyone. */
export class Struct<F extends StructFields = StructFields> {
  /** The header's name, without `struct`. */
  readonly name: string;
  readonly fields: F;
  /** `sizeof`. */
  readonly size: number;
  readonly #accessors: readonly (readonly [string, Accessor])[];

  constructor(name: string, size: number, fields: F) {
    this.name = name;
    this.size = size;
    this.fields = fields;
    checkLayout(name, size, fields);
    this.#accessors = Object.entries(fields).map(([key, field]) => [key, accessor(field)] as const);
  }

  /** Byte offset behind a field: what a layout that ended with it would have as its size. */
  endOf(name: keyof F & string): number {
    const { at, kind } = this.fields[name]!;
    return at + SIZE_OF[kind];
  }

  /** `bytes` holds at least {@link size} bytes. */
  decode(bytes: Uint8Array): StructValues<F> {
    const view = viewOf(bytes);
    const values: Record<string, number | bigint> = {};
    for (const [key, { read }] of this.#accessors) values[key] = read(view);
    return values as StructValues<F>;
  }

  /** Writes the named fields; wider values are cut as C does. */
  write(bytes: Uint8Array, values: Partial<StructValues<F>>): void {
    const view = viewOf(bytes);
    for (const [key, { write }] of this.#accessors) {
      const value = (values as Record<string, number | bigint | undefined>)[key];
      if (value !== undefined) write(view, value);
    }
  }

  /** A whole structure; what is not named is zero. A field called `size` defaults to the structure's own size. */
  encode(values: Partial<StructValues<F>>): Uint8Array {
    const bytes = new Uint8Array(this.size);
    const own = 'size' in this.fields ? { size: this.size } : {};
    this.write(bytes, { ...own, ...values } as Partial<StructValues<F>>);
    return bytes;
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function accessor({ kind, at }: StructField): Accessor {
  switch (kind) {
    case 'u8':
      return { read: (view) => view.getUint8(at), write: (view, value) => view.setUint8(at, Number(value)) };
    case 'u16':
      return {
        read: (view) => view.getUint16(at, true),
        write: (view, value) => view.setUint16(at, Number(value), true),
      };
    case 'u64':
      return {
        read: (view) => view.getBigUint64(at, true),
        write: (view, value) => view.setBigUint64(at, BigInt(value), true),
      };
    case 's32':
      return {
        read: (view) => view.getInt32(at, true),
        write: (view, value) => view.setInt32(at, Number(value), true),
      };
    default:
      return {
        read: (view) => view.getUint32(at, true),
        write: (view, value) => view.setUint32(at, Number(value), true),
      };
  }
}

function checkLayout(name: string, size: number, fields: StructFields): void {
  let next = 0;
  for (const [key, { at, kind }] of Object.entries(fields).sort(([, a], [, b]) => a.at - b.at)) {
    if (at < next) throw new Error(`${name}.${key} overlaps the field before it`);
    if (at % SIZE_OF[kind] !== 0) throw new Error(`${name}.${key} is not aligned`);
    next = at + SIZE_OF[kind];
  }
  if (next > size) throw new Error(`${name} is longer than ${size} bytes`);
}
