import { ensure, IommuError } from '@iommukit/core';
import { FaultInjector } from './fault-injector.ts';
import type { Ioas } from './ioas/ioas.ts';
import type { IommufdObject, ObjectType } from './objects/object.ts';
import { ObjectTable } from './objects/object-table.ts';
import { RegionTable } from './objects/region-table.ts';
import type { AccountMode } from './pages/source.ts';

/** One open `/dev/iommu`: its objects and their ids. */
export class IommufdContext {
  readonly table = new ObjectTable();
  /** Memory of vIOMMUs that programs may map. */
  readonly regions = new RegionTable();
  readonly injector: FaultInjector;
  /** The IOAS the VFIO compatibility calls work on. */
  compatIoas: Ioas | null = null;
  /** Who pays for pages pinned by later map calls. */
  accountMode: AccountMode = 'user';
  /** The opener, and every file made from this one. */
  #holds = 1;
  #open = true;
  #closed = false;

  constructor(injector = new FaultInjector()) {
    this.injector = injector;
  }

  /** The object with that id and type. ENOENT when there is none, or one of another type. */
  get<T extends IommufdObject>(id: number, type: T['type'] & ObjectType): T {
    const object = this.table.get(id);
    ensure(object !== null && object.type === type, 'ENOENT', `no ${type} with id ${id}`);
    return object as T;
  }

  /** Any object. ENOENT. */
  any(id: number): IommufdObject {
    const object = this.table.get(id);
    if (object === null) throw new IommuError('ENOENT', `no object with id ${id}`);
    return object;
  }

  /** Gives a finished object its id. */
  publish<T extends IommufdObject>(object: T): T {
    this.injector.use('alloc');
    this.table.publish(object);
    return object;
  }

  /** ENOENT; EBUSY while something refers to it. */
  destroy(id: number): void {
    this.destroyObject(this.any(id));
  }

  /** Destroys an object that nothing refers to. EBUSY otherwise. */
  destroyObject(object: IommufdObject): void {
    ensure(object.users === 0, 'EBUSY', `${object.type} ${object.id} is in use`);
    this.table.remove(object);
    object.dispose();
  }

  forgetIoas(ioas: Ioas): void {
    if (this.compatIoas === ioas) this.compatIoas = null;
  }

  /** True once the objects are gone. */
  get closed(): boolean {
    return this.#closed;
  }

  /** A file that needs the context is open: an event queue, a bound device, an access handle. */
  hold(): void {
    this.#holds++;
  }

  /** That file was closed; the last one destroys everything. */
  drop(): void {
    if (--this.#holds === 0) this.#destroyAll();
  }

  /** The opener lets go. Objects stay while files made from this one are open. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.drop();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Destroys what nothing refers to, until nothing is left. */
  #destroyAll(): void {
    this.#closed = true;
    for (let left = this.table.size; left > 0; ) {
      for (const object of this.table.objects) {
        if (object.users === 0 && this.table.get(object.id) === object) this.destroyObject(object);
      }
      const now = this.table.size;
      if (now === left) throw new Error(`iommufd: ${now} objects keep each other alive`);
      left = now;
    }
  }
}
