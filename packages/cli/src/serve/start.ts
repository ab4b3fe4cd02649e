import { readFileSync } from 'node:fs';
import type { VendorPlugin } from '@iommukit/core';
import { DescriptionError, Host, IommufdServer, MachineFiles, MockFiles, parseMachine } from '@iommukit/iommufd-server';
import { parse } from 'yaml';
import { reasonOf, UsageError } from '../usage-error.ts';
import { loadAllVendors } from '../vendors.ts';
import type { ServedOptions } from './options.ts';

/** Programs' memory is given addresses up to here, or as far as the narrowest host reaches. */
const WIDEST_ADDRESS = 40;

/** A server that listens on `socket`. Complaints about programs go to `log`, one line each. */
export async function startServer(
  options: ServedOptions,
  socket: string,
  log: (message: string) => void,
): Promise<IommufdServer> {
  const server = options.mock ? mockServer(log) : await machineServer(options, log);
  try {
    await server.listen(socket);
  } catch (error) {
    throw new UsageError(`option '--socket' ${socket}: ${reasonOf(error)}`);
  }
  return server;
}

function mockServer(log: (message: string) => void): IommufdServer {
  const host = new Host();
  return new IommufdServer({ host, provider: new MockFiles(host), log });
}

async function machineServer({ machine, plugin }: ServedOptions, log: (message: string) => void) {
  const vendors = await loadAllVendors(plugin);
  const document = machine === undefined ? oneOfEach(vendors) : readDocument(machine);
  try {
    const description = parseMachine(document);
    const bits = Math.min(WIDEST_ADDRESS, ...description.units.map(({ hostAddressBits }) => hostAddressBits));
    const host = new Host({ last: (1n << BigInt(bits)) - 1n });
    return new IommufdServer({ host, provider: new MachineFiles(description, vendors), log });
  } catch (error) {
    if (!(error instanceof DescriptionError)) throw error;
    throw new UsageError(`option '--machine' ${machine ?? ''}: ${error.message}`);
  }
}

function readDocument(file: string): unknown {
  try {
    return parse(readFileSync(file, 'utf8'), { intAsBigInt: true });
  } catch (error) {
    throw new UsageError(`option '--machine' ${file}: ${reasonOf(error)}`);
  }
}

const FIRST_REQUESTER = 8;

function oneOfEach(vendors: readonly VendorPlugin[]): unknown {
  return {
    units: vendors.map(({ id }) => ({ id, vendor: id })),
    devices: vendors.map(({ id }, i) => ({ name: `vfio${i}`, unit: id, requesterIds: [FIRST_REQUESTER] })),
  };
}
