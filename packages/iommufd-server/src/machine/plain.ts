/** A description that makes no sense: one line that says where and what. */
export class DescriptionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DescriptionError';
  }
}

/** One value of a parsed YAML or JSON document, with the place it stands in for messages. */
export class Plain {
  readonly #value: unknown;
  readonly where: string;

  constructor(value: unknown, where: string) {
    this.#value = value;
    this.where = where;
  }

  get absent(): boolean {
    return this.#value === undefined || this.#value === null;
  }

  fail(message: string): never {
    throw new DescriptionError(`${this.where}: ${message}`);
  }

  /** A field of a mapping; all keys the mapping may have are named at once by {@link fields}. */
  get(key: string): Plain {
    return new Plain((this.#value as Record<string, unknown>)[key], this.where === '' ? key : `${this.where}.${key}`);
  }

  /** Checks that it is a mapping with no other keys than these. */
  fields(...known: readonly string[]): this {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('not a mapping');
    const stranger = Object.keys(value).find((key) => !known.includes(key));
    if (stranger !== undefined) this.fail(`no field '${stranger}'; there are ${known.join(', ')}`);
    return this;
  }

  /** Absent: empty. */
  get list(): readonly Plain[] {
    if (this.absent) return [];
    if (!Array.isArray(this.#value)) this.fail('not a list');
    return this.#value.map((value, i) => new Plain(value, `${this.where}[${i}]`));
  }

  text(otherwise?: string): string {
    if (this.absent && otherwise !== undefined) return otherwise;
    if (typeof this.#value !== 'string' || this.#value === '') this.fail('not a text');
    return this.#value;
  }

  flag(otherwise: boolean): boolean {
    if (this.absent) return otherwise;
    if (typeof this.#value !== 'boolean') this.fail('not true or false');
    return this.#value;
  }

  /** An exact integer; the document may have been parsed to numbers or bigints. */
  integer(first: bigint, last: bigint, otherwise?: bigint): bigint {
    if (this.absent && otherwise !== undefined) return otherwise;
    const value = this.#value;
    const exact = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value));
    if (!exact) this.fail('not an integer');
    const number = BigInt(value as number | bigint);
    if (number < first || number > last) this.fail(`not in ${first} … ${last}`);
    return number;
  }

  number(first: number, last: number, otherwise?: number): number {
    return Number(this.integer(BigInt(first), BigInt(last), otherwise === undefined ? undefined : BigInt(otherwise)));
  }
}
