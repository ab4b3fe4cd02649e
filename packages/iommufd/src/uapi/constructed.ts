import type { IommufdObject } from '../objects/object.ts';

/** An object whose caller is told its id; when that fails the object is undone. */
export function constructed(object: IommufdObject, tell: () => void): void {
  try {
    tell();
  } catch (error) {
    object.context.destroyObject(object);
    throw error;
  }
}
