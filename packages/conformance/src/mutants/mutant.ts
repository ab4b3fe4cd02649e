import type {
  Capability,
  DriverPorts,
  HardwareModel,
  HardwarePorts,
  IommuDriver,
  NestedDomainOps,
  PagingDomainOps,
  VendorPlugin,
  ViommuOps,
} from '@iommukit/core';

/** A vendor that breaks one promise, and the case that must notice. */
export interface Mutant {
  readonly id: string;
  /** What it does wrong, in words. */
  readonly breaks: string;
  /** Id of the case meant for it. */
  readonly by: string;
  /** Without these the broken part is never used. */
  readonly needs?: readonly Capability[];
  /** Vendors with one of these never use the broken part either. */
  readonly unless?: readonly Capability[];
  /**
   * It only makes what the unit is told smaller or narrower, so a vendor that can tell it no less is none the worse: where
   * neither registers, memory nor answers differ, the mutant does not apply.
   */
  readonly narrows?: boolean;
  mutate(plugin: VendorPlugin): VendorPlugin;
}

/** The same vendor with each driver changed in place. */
export const mutateDriver = (plugin: VendorPlugin, patch: (driver: IommuDriver) => void): VendorPlugin => ({
  ...plugin,
  createDriver(ports, unit) {
    const driver = plugin.createDriver(ports, unit);
    patch(driver);
    return driver;
  },
});

/** The same vendor whose driver is given other ports. */
export const mutateDriverPorts = (plugin: VendorPlugin, wrap: (ports: DriverPorts) => DriverPorts): VendorPlugin => ({
  ...plugin,
  createDriver: (ports, unit) => plugin.createDriver(wrap(ports), unit),
});

/** The same vendor with each paging domain changed in place after it was made. */
export const mutateDomains = (
  plugin: VendorPlugin,
  patch: (domain: PagingDomainOps, driver: IommuDriver) => void,
): VendorPlugin =>
  mutateDriver(plugin, (driver) => {
    const alloc = driver.allocPaging.bind(driver);
    driver.allocPaging = (device, flags, data) => {
      const domain = alloc(device, flags, data);
      patch(domain, driver);
      return domain;
    };
  });

/** The same vendor with whatever takes guests' invalidations changed in place: vIOMMUs, or nested domains. */
export const mutateGuests = (
  plugin: VendorPlugin,
  patch: (target: Pick<ViommuOps, 'invalidate'>) => void,
): VendorPlugin =>
  mutateDriver(plugin, (driver) => {
    const probe = driver.probe.bind(driver);
    driver.probe = () => {
      probe();
      patchAllocators(driver, patch);
    };
  });

/** Some drivers offer these only after their probe. */
function patchAllocators(driver: IommuDriver, patch: (target: Pick<ViommuOps, 'invalidate'>) => void): void {
  const nested = driver.allocNested?.bind(driver);
  const viommu = driver.allocViommu?.bind(driver);
  if (nested)
    driver.allocNested = (...args) => {
      const domain: NestedDomainOps = nested(...args);
      if (domain.invalidate) patch(domain as Pick<ViommuOps, 'invalidate'>);
      return domain;
    };
  if (viommu)
    driver.allocViommu = (...args) => {
      const made = viommu(...args);
      patch(made);
      return made;
    };
}

/** The same vendor with each hardware model changed in place. */
export const mutateHardware = (
  plugin: VendorPlugin,
  patch: (hardware: HardwareModel, ports: HardwarePorts) => void,
): VendorPlugin => ({
  ...plugin,
  createHardware(ports, config) {
    const hardware = plugin.createHardware(ports, config);
    patch(hardware, ports);
    return hardware;
  },
});

/** The same vendor whose hardware translates as `translate` says; the third argument is the honest way. */
export const mutateTranslate = (
  plugin: VendorPlugin,
  make: () => (...args: [...Parameters<HardwareModel['translate']>, honest: HardwareModel['translate']]) => void,
): VendorPlugin =>
  mutateHardware(plugin, (hardware) => {
    const honest = hardware.translate.bind(hardware);
    const broken = make();
    hardware.translate = (request, answer) => broken(request, answer, honest);
  });
