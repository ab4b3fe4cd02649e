import type { IommufdContext } from '../context.ts';

export type ObjectType =
  | 'ioas'
  | 'hwpt-paging'
  | 'hwpt-nested'
  | 'device'
  | 'access'
  | 'fault'
  | 'viommu'
  | 'vdevice'
  | 'veventq'
  | 'hw-queue'
  /** A test build's own. */
  | 'selftest';

/** An object of one file, known by its id. Others that refer to it keep it from being destroyed. */
export abstract class IommufdObject {
  abstract readonly type: ObjectType;
  readonly context: IommufdContext;
  /** 1 … 2^31-1; 0 until the object is published. */
  id = 0;
  #users = 0;

  constructor(context: IommufdContext) {
    this.context = context;
  }

  /** References by other objects, attachments and open files. */
  get users(): number {
    return this.#users;
  }

  retain(): void {
    this.#users++;
  }

  release(): void {
    this.#users--;
  }

  /** DESTROY, for `using`. EBUSY while something refers to it; gone already: nothing happens. */
  [Symbol.dispose](): void {
    if (this.context.table.get(this.id) === this) this.context.destroyObject(this);
  }

  /** Takes the object apart. Called once, with no users left, after its id is gone. */
  abstract dispose(): void;
}
