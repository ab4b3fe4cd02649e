const ARM = (section: string) => `IHI 0070 ${section}`;
const VTD = (section: string) => `VT-d ${section}`;
const VIRTIO = (section: string) => `virtio 1.3 ${section}`;

type Sections = Readonly<Record<string, string>>;

const of = (arm: string | null, vtd: string | null, virtio: string | null): Sections => ({
  ...(arm === null ? {} : { 'arm-smmuv3': ARM(arm) }),
  ...(vtd === null ? {} : { 'intel-vtd': VTD(vtd) }),
  ...(virtio === null ? {} : { 'virtio-iommu': VIRTIO(virtio) }),
});

const STRUCTURES = of('3.21, 4.3', '6.5', '5.13.6.3');
const DETACH = of('3.21, 4.3', '6.5', '5.13.6.4');
const MAP = of('3.4, 5.4', '3.6, 3.7', '5.13.6.5');
const UNMAP = of('4.4', '6.5', '5.13.6.6');
const FAULT = of('7.3', '7', '5.13.6.9');
const TAGS = of('3.17', '6.2', '5.13.6.3');
const QUEUE = of('3.5', '6.5.2', '2.7');
const NESTED = of('3.3.2', '3.8', null);
const PASID = of('3.9, 5.4', '3.4.3', null);

/**
 * Where each vendor's manual says what a case asks, by case id or area. A place to start reading, not a proof: most
 * promises follow from several rules.
 */
const SPECS: Readonly<Record<string, Sections>> = {
  'lifecycle/starts-blocked': of('5.2', '7', '5.13.6'),
  'lifecycle/comes-back': of('3.11', '11.4.4', '3.1'),
  attach: STRUCTURES,
  'attach/detach-blocks': DETACH,
  'attach/tag-reuse': TAGS,
  'attach/many-domains': TAGS,
  'attach/identity': of('5.2', '9.3', '5.13.6.3'),
  replace: STRUCTURES,
  map: MAP,
  permission: of('7.3', '3.6, 3.7', '5.13.6.5'),
  'permission/write-only': of('3.4', '3.7', '5.13.6.5'),
  unmap: UNMAP,
  'unmap/whole-mappings': of(null, null, '5.13.6.6'),
  'page-sizes': MAP,
  invalidation: UNMAP,
  'invalidation/ring-wraps': QUEUE,
  isolation: TAGS,
  fault: FAULT,
  'fault/blocked': of('5.2', '7', '5.13.6.9'),
  reserved: of(null, '8.4', '5.13.6.8'),
  'information/hw-info': of('6.3.1', '11.4.2', null),
  'information/coherency': of('3.15', '9.6', null),
  'information/coherency-of-all': of('3.15', '9.6', null),
  pasid: PASID,
  dirty: of('3.13', '3.7', null),
  nested: NESTED,
  'native-invalidation': of('4.4', '6.5.2', null),
  'failure/dead-unit': QUEUE,
};

export const specOf = (id: string): Sections | undefined => SPECS[id] ?? SPECS[id.split('/')[0]!];
