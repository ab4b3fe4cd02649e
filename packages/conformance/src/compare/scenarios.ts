import { type Scenario, scenario } from './scenario.ts';

const IOVA = 0x4000_0000;
const PAGE = 0x1000;
const nic = { requesterId: 0x10 };

/** A device with a domain `d` attached. */
const attached = [
  { do: 'domain', name: 'd', device: 'nic' },
  { do: 'attach', device: 'nic', domain: 'd' },
] as const;

const dma = (access: 'read' | 'write', iova: number | 'top' | 'beyond', expect: 'ok' | 'fault' | 'any' = 'ok') =>
  ({ do: 'dma', device: 'nic', access, iova, expect }) as const;

/** The scenarios that come with the kit. */
export const scenarios: readonly Scenario[] = [
  scenario({
    id: 'unmap-one-page',
    title: 'Unmap one page',
    question: 'What does it take until a page that a device used is out of its reach?',
    steps: [
      ...attached,
      { do: 'map', domain: 'd', iova: IOVA },
      dma('write', IOVA),
      { do: 'unmap', domain: 'd', iova: IOVA },
      dma('write', IOVA, 'fault'),
    ],
  }),
  scenario({
    id: 'unmap-512-pages',
    title: 'Unmap 512 pages at once',
    question: 'How many commands does an unmap of 512 pages take?',
    steps: [
      ...attached,
      { do: 'map', domain: 'd', iova: IOVA + PAGE, pages: 512 },
      dma('read', IOVA + PAGE),
      { do: 'unmap', domain: 'd', iova: IOVA + PAGE, pages: 512 },
      dma('read', IOVA + PAGE, 'fault'),
    ],
  }),
  scenario({
    id: 'unmap-large-page',
    title: 'Unmap a large page',
    question: 'Which page size does the invalidation name, and what is read to translate the page?',
    steps: [
      ...attached,
      { do: 'map', domain: 'd', iova: IOVA, largePages: 1 },
      dma('read', IOVA + PAGE),
      { do: 'unmap', domain: 'd', iova: IOVA, largePages: 1 },
      dma('read', IOVA + PAGE, 'fault'),
    ],
  }),
  scenario({
    id: 'write-to-read-only',
    title: 'Write to a read-only page',
    question: 'How is a missing permission recorded, and can it be told from a missing page?',
    steps: [
      ...attached,
      { do: 'map', domain: 'd', iova: IOVA, prot: 'r' },
      dma('read', IOVA),
      { do: 'dma', device: 'nic', access: 'write', iova: IOVA, reason: 'permission', expect: 'fault' },
    ],
  }),
  scenario({
    id: 'unattached-dma',
    title: 'DMA of a device nobody attached',
    question: 'Is a blocked device refused in silence or on record?',
    steps: [dma('read', IOVA, 'fault'), dma('write', IOVA, 'fault')],
  }),
  scenario({
    id: 'unknown-requester',
    title: 'DMA with a requester id nobody has',
    question: 'What does the unit make of an id that software never heard of?',
    steps: [
      ...attached,
      { do: 'map', domain: 'd', iova: IOVA },
      { do: 'dma', device: 'nic', access: 'read', iova: IOVA, requesterId: 0xf8, expect: 'fault' },
      dma('read', IOVA),
    ],
  }),
  scenario({
    id: 'replace-domain',
    title: 'Replace a domain under a busy device',
    question: 'What is written and invalidated so that the device sees the old or the new, and never neither?',
    steps: [
      ...attached,
      { do: 'map', domain: 'd', iova: IOVA },
      dma('read', IOVA),
      { do: 'domain', name: 'next', device: 'nic' },
      { do: 'map', domain: 'next', iova: IOVA },
      { do: 'replace', device: 'nic', domain: 'next' },
      dma('read', IOVA),
    ],
  }),
  scenario({
    id: 'identity',
    title: 'Pass addresses through',
    question: 'What stands in the tables for a device that is not translated?',
    steps: [
      { do: 'attach', device: 'nic', domain: 'identity' },
      dma('read', 0x8000_0000),
      { do: 'detach', device: 'nic' },
      dma('read', 0x8000_0000, 'fault'),
    ],
  }),
  scenario({
    id: 'pasid',
    title: 'Give a PASID a domain of its own',
    question: 'How are two address spaces of one device kept apart?',
    devices: { nic: { ...nic, pasidBits: 8 } },
    steps: [
      { do: 'domain', name: 'd', device: 'nic', flags: ['pasid'] },
      { do: 'attach', device: 'nic', domain: 'd' },
      { do: 'map', domain: 'd', iova: IOVA },
      { do: 'domain', name: 'process', device: 'nic', flags: ['pasid'] },
      { do: 'attach', device: 'nic', domain: 'process', pasid: 7 },
      { do: 'map', domain: 'process', iova: IOVA + PAGE },
      { do: 'dma', device: 'nic', access: 'read', iova: IOVA + PAGE, pasid: 7 },
      { do: 'dma', device: 'nic', access: 'read', iova: IOVA, pasid: 7, expect: 'fault' },
      dma('read', IOVA),
    ],
  }),
  scenario({
    id: 'nested-page-invalidation',
    title: 'A guest unmaps a page of its own table',
    question: 'Which native command reaches the hardware, and what has the host put to it?',
    steps: [
      { do: 'guest', name: 'vm', device: 'nic' },
      { do: 'attach', device: 'nic', domain: 'vm' },
      { do: 'guest-map', guest: 'vm', iova: IOVA },
      dma('read', IOVA),
      { do: 'guest-unmap', guest: 'vm', iova: IOVA },
      { do: 'invalidate', guest: 'vm', iova: IOVA },
      dma('read', IOVA, 'fault'),
    ],
  }),
  scenario({
    id: 'beyond-the-aperture',
    title: 'The last page of the aperture, and the address after it',
    question: 'Where does the input space end, and is an address past it a missing page or a wrong address?',
    steps: [...attached, { do: 'map', domain: 'd', iova: 'top' }, dma('read', 'top'), dma('read', 'beyond', 'fault')],
  }),
  scenario({
    id: 'interrupt-window',
    title: 'A write where message interrupts go',
    question: 'Which addresses are reserved, and does a write to 0xfee00000 reach the tables?',
    steps: [
      ...attached,
      { do: 'reserved', device: 'nic' },
      dma('write', 0xfee0_0000, 'any'),
      dma('read', 0xfee0_0000, 'any'),
    ],
  }),
  scenario({
    id: 'dirty-pages',
    title: 'Find the pages a device wrote',
    question: 'Does the hardware log writes, and what does clearing the log take?',
    steps: [
      { do: 'domain', name: 'd', device: 'nic', flags: ['dirty-tracking'] },
      { do: 'attach', device: 'nic', domain: 'd' },
      { do: 'map', domain: 'd', iova: IOVA, pages: 8 },
      { do: 'track-dirty', domain: 'd' },
      dma('write', IOVA + 2 * PAGE),
      { do: 'read-dirty', domain: 'd', iova: IOVA, pages: 8 },
      dma('write', IOVA + 2 * PAGE),
      { do: 'read-dirty', domain: 'd', iova: IOVA, pages: 8 },
    ],
  }),
];
