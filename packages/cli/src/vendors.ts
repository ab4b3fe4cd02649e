import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { armSmmuV3Module } from '@iommukit/arm-smmuv3';
import { loadVendors, type VendorPlugin, vendorModule } from '@iommukit/core';
import { intelVtdModule } from '@iommukit/intel-vtd';
import { virtioIommuModule } from '@iommukit/virtio-iommu';
import { reasonOf, UsageError } from './usage-error.ts';

type Module = Parameters<typeof loadVendors>[number];

/** The composition root: the vendors of this repository and those that `--plugin` names (file or package). */
export async function loadAllVendors(plugins: readonly string[]): Promise<VendorPlugin[]> {
  const own = [armSmmuV3Module, intelVtdModule, virtioIommuModule];
  const more = await Promise.all(plugins.map(importPlugin));
  try {
    return loadVendors(...own, ...more.flat());
  } catch (error) {
    throw new UsageError(`option '--plugin': ${reasonOf(error)}`);
  }
}

/** The vendor `--vendor` asks for. */
export async function loadVendor(id: string, plugins: readonly string[]): Promise<VendorPlugin> {
  const vendors = await loadAllVendors(plugins);
  return chooseVendors(vendors, [id])[0]!;
}

/** Those of `ids`, in that order; all of them when `ids` is empty. */
export function chooseVendors(vendors: readonly VendorPlugin[], ids: readonly string[]): readonly VendorPlugin[] {
  if (ids.length === 0) return vendors;
  const known = vendors.map((vendor) => vendor.id).join(', ');
  return ids.map((id) => {
    const vendor = vendors.find((candidate) => candidate.id === id);
    if (!vendor) throw new UsageError(`option '--vendor': no vendor '${id}'; known: ${known}`);
    return vendor;
  });
}

async function importPlugin(name: string): Promise<Module[]> {
  let exported: Record<string, unknown>;
  try {
    exported = await import(/* @vite-ignore */ locate(name));
  } catch (error) {
    throw new UsageError(`option '--plugin' ${name}: ${reasonOf(error)}`);
  }
  const found = modulesOf(exported);
  if (found.length === 0) throw new UsageError(`option '--plugin' ${name}: exports no VendorPlugin or ContainerModule`);
  return found;
}

/** A path stands for itself, anything else is a package seen from the working directory. */
function locate(name: string): string {
  if (name.startsWith('.') || existsSync(name)) return pathToFileURL(resolve(name)).href;
  return pathToFileURL(createRequire(`${process.cwd()}/`).resolve(name)).href;
}

/** The default export, or else every plugin among the named ones (a package exports both forms: once is enough). */
function modulesOf(exported: Record<string, unknown>): Module[] {
  const asModule = (value: unknown) => (isPlugin(value) ? vendorModule(value) : isModule(value) ? value : null);
  const preferred = asModule(exported.default);
  if (preferred) return [preferred];
  const values = Object.values(exported);
  const plugins = values.filter(isPlugin);
  return plugins.length > 0 ? plugins.map(vendorModule) : values.filter(isModule);
}

function isPlugin(value: unknown): value is VendorPlugin {
  const plugin = value as Partial<VendorPlugin> | null | undefined;
  return typeof plugin?.id === 'string' && typeof plugin.createHardware === 'function' && Array.isArray(plugin.configs);
}

function isModule(value: unknown): value is Module {
  const module = value as { id?: unknown; load?: unknown } | null | undefined;
  return typeof module === 'object' && typeof module?.load === 'function' && typeof module.id === 'number';
}
