export * from './files/machine-files.ts';
export * from './files/mock-files.ts';
export * from './files/provider.ts';
export { type DeviceEntry, type MachineDescription, parseMachine, type UnitEntry } from './machine/description.ts';
export { DescriptionError } from './machine/plain.ts';
export { Host, type HostOptions } from './process/host.ts';
export * from './server.ts';
export * from './shim.ts';
