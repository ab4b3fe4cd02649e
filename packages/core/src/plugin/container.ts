import 'reflect-metadata';
import { Container, ContainerModule, type ServiceIdentifier } from 'inversify';
import type { VendorPlugin } from './plugin.ts';

/** The token vendors bind. `Symbol.for` survives two copies of core in one process. */
export const VENDOR: ServiceIdentifier<VendorPlugin> = Symbol.for('iommukit/vendor');

/** A container module that offers one vendor; load it into any container. */
export function vendorModule(plugin: VendorPlugin): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind(VENDOR).toConstantValue(plugin);
  });
}

/** The composition root: every vendor of the given modules, in loading order. Throws RangeError for a doubled id. */
export function loadVendors(...modules: ContainerModule[]): VendorPlugin[] {
  const container = new Container();
  container.load(...modules);
  const vendors = container.isBound(VENDOR) ? container.getAll(VENDOR) : [];
  const seen = new Set<string>();
  for (const { id } of vendors) {
    if (seen.has(id)) throw new RangeError(`two vendors call themselves '${id}'`);
    seen.add(id);
  }
  return vendors;
}
