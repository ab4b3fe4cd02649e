/** A deep copy of plain data that nobody can change. */
export function frozen<T>(data: T): T {
  return freeze(structuredClone(data));
}

function freeze<T>(data: T): T {
  if (typeof data !== 'object' || data === null || Object.isFrozen(data)) return data;
  for (const value of Object.values(data)) freeze(value);
  return Object.freeze(data);
}
