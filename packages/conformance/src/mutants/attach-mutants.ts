import { type Mutant, mutateDomains, mutateDriver } from './mutant.ts';

/** Drivers that leave devices where they should not be. */
export const attachMutants: readonly Mutant[] = [
  {
    id: 'driver/attach-does-nothing',
    breaks: 'attach only says it attached',
    by: 'attach/translates',
    mutate: (plugin) => mutateDomains(plugin, (domain) => void (domain.attach = () => {})),
  },
  {
    id: 'driver/replace-does-nothing',
    breaks: 'a device that has a domain keeps it',
    by: 'replace/switches',
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        const attach = domain.attach.bind(domain);
        domain.attach = (device, old) => {
          if (old.kind !== 'paging') attach(device, old);
        };
      }),
  },
  {
    id: 'driver/detach-does-nothing',
    breaks: 'a detached device keeps its domain',
    by: 'attach/detach-blocks',
    mutate: (plugin) => mutateDriver(plugin, (driver) => void (driver.blocked.attach = () => {})),
  },
  {
    id: 'driver/detach-passes-through',
    breaks: 'a detached device gets identity',
    by: 'attach/detach-blocks',
    needs: ['identity-passthrough'],
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const block = driver.blocked.attach.bind(driver.blocked);
        driver.blocked.attach = (device, old) => {
          block(device, old);
          driver.identity.attach(device, driver.blocked);
        };
      }),
  },
  {
    id: 'driver/forgets-an-alias',
    breaks: 'only the first requester id of a device is looked after',
    by: 'lifecycle/all-ids-of-a-device',
    mutate: (plugin) =>
      mutateDriver(plugin, (driver) => {
        const probe = driver.probeDevice.bind(driver);
        driver.probeDevice = (description) =>
          probe({ ...description, requesterIds: description.requesterIds.slice(0, 1) });
      }),
  },
  {
    id: 'driver/free-does-nothing',
    breaks: 'a freed domain keeps its memory',
    by: 'lifecycle/cycles-leave-nothing',
    unless: ['whole-mappings'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        domain.free = () => {};
      }),
  },
  {
    id: 'driver/forgets-pasid',
    breaks: 'attaching a PASID attaches the device',
    by: 'pasid/own-domain',
    needs: ['pasid'],
    mutate: (plugin) =>
      mutateDomains(plugin, (domain) => {
        domain.attachPasid = (device, _pasid, old) => domain.attach(device, old);
      }),
  },
  {
    id: 'driver/keeps-a-pasid',
    breaks: 'a detached PASID keeps its domain',
    by: 'pasid/detach',
    needs: ['pasid'],
    mutate: (plugin) => mutateDriver(plugin, (driver) => void (driver.blocked.attachPasid = () => {})),
  },
];
