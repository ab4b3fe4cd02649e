/**
 * What a unit can do, as its driver read it from the hardware. Each capability changes the contract; the conformance
 * suite asks the same set. A capability that would only excuse one test does not belong here.
 */
export const CAPABILITIES = [
  /** Paging domains may be a nesting parent (allocation flag NEST_PARENT). */
  'nest-parent',
  /** Nested domains are made directly on a parent (VT-d style). */
  'nested-on-parent',
  /** Nested domains are made on a vIOMMU, and invalidation goes through it (SMMUv3 style). */
  'viommu',
  /** A device's PASIDs can have domains of their own. */
  'pasid',
  /** The hardware logs writes in the page table (allocation flag DIRTY). */
  'dirty-tracking',
  /** hw_info answers with native identification registers. */
  'hw-info',
  /** Some device can be held to cache-coherent DMA. */
  'enforce-cache-coherency',
  /** A mapping without READ refuses reads. */
  'write-only-mapping',
  /** A mapping with NOEXEC refuses instruction fetches. Without this capability a fetch is a read, and NOEXEC ignored. */
  'execute-permission',
  /** More than one page size is mapped by the hardware. */
  'large-pages',
  /** Mappings are whole requests: an unmap that cuts one in two is refused by the hardware itself. */
  'whole-mappings',
  /** DMA of an unattached or blocked device is reported as a fault (else it is refused in silence). */
  'reports-blocked',
  /** An identity domain needs no page table. */
  'identity-passthrough',
] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** Per-device answers of `capable()`, named as in the reference API. */
export type DeviceCapability =
  | 'cache-coherency'
  | 'enforce-cache-coherency'
  | 'noexec'
  | 'dirty-tracking'
  | 'deferred-flush'
  | 'pci-ats'
  | 'pasid';
