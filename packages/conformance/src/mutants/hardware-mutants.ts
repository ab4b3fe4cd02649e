import { ACCESS, type DmaAnswer, type DmaRequest, FAULT_REASON, OUTCOME } from '@iommukit/core';
import { type Mutant, mutateTranslate } from './mutant.ts';

/** Hardware of any vendor that breaks one promise each, made at the port where DMA comes in. */
export const hardwareMutants: readonly Mutant[] = [
  {
    id: 'hardware/permission-not-checked',
    breaks: 'a write needs no more than a read',
    by: 'permission/read-only',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        const { access } = request;
        request.access = ACCESS.READ;
        honest(request, answer);
        request.access = access;
      }),
  },
  {
    id: 'hardware/one-device-for-all',
    breaks: 'bit 8 of a requester id does not count',
    by: 'isolation/same-address',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        const { device } = request;
        request.device = device & 0xff;
        honest(request, answer);
        request.device = device;
      }),
  },
  {
    id: 'hardware/pasid-not-seen',
    breaks: 'a PASID is ignored',
    by: 'pasid/own-domain',
    needs: ['pasid'],
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        const { pasid } = request;
        request.pasid = -1;
        honest(request, answer);
        request.pasid = pasid;
      }),
  },
  {
    id: 'hardware/address-cut',
    breaks: 'address bits past the aperture are ignored',
    by: 'map/past-the-aperture',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        const { iovaHi } = request;
        honest(request, answer);
        if (answer.outcome !== OUTCOME.FAULT) return;
        for (let bits = 31; bits > 0 && answer.outcome === OUTCOME.FAULT; bits--) {
          request.iovaHi = iovaHi & (2 ** bits - 1);
          if (request.iovaHi !== iovaHi) honest(request, answer);
        }
        request.iovaHi = iovaHi;
      }),
  },
  {
    id: 'hardware/offset-lost',
    breaks: 'every access goes to the start of its page',
    by: 'map/every-byte',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        answer.paLo &= ~0xfff;
      }),
  },
  {
    id: 'hardware/refusals-pass',
    breaks: 'what is not mapped passes through',
    by: 'unmap/no-stale-translation',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        if (answer.outcome === OUTCOME.FAULT && answer.reason === FAULT_REASON.NOT_PRESENT)
          passThrough(request, answer);
      }),
  },
  {
    id: 'hardware/blocked-passes',
    breaks: 'a device that was never attached passes through',
    by: 'lifecycle/starts-blocked',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        if (answer.outcome === OUTCOME.FAULT) passThrough(request, answer);
      }),
  },
  {
    id: 'hardware/remembers-for-ever',
    breaks: 'no invalidation reaches the cache',
    by: 'unmap/no-stale-translation',
    mutate: (plugin) => mutateTranslate(plugin, () => stubbornCache((request) => request.device)),
  },
  {
    id: 'hardware/remembers-across-a-switch',
    breaks: 'the cache does not notice that the domain changed',
    by: 'replace/switches',
    mutate: (plugin) => mutateTranslate(plugin, () => stubbornCache((request) => request.device)),
  },
  {
    id: 'hardware/shared-cache',
    breaks: 'the cache does not know whose translation it holds',
    by: 'isolation/unmapped-there',
    mutate: (plugin) => mutateTranslate(plugin, () => stubbornCache(() => 0)),
  },
  {
    id: 'hardware/reason-wrong',
    breaks: 'a missing permission is called a missing page and the other way round',
    by: 'permission/read-only',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        if (answer.reason === FAULT_REASON.PERMISSION) answer.reason = FAULT_REASON.NOT_PRESENT;
      }),
  },
  {
    id: 'hardware/page-size-wrong',
    breaks: 'every translation is said to be of a 4 KiB page or smaller',
    by: 'page-sizes/each-size',
    needs: ['large-pages'],
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        answer.pageSizeLg2 = Math.min(answer.pageSizeLg2, 11);
      }),
  },
  {
    id: 'hardware/high-half-lost',
    breaks: 'translated addresses have 32 bits',
    by: 'map/above-4-gib',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        if (answer.outcome === OUTCOME.TRANSLATED) answer.paHi = 0;
      }),
  },
  {
    id: 'hardware/bypass-cut',
    breaks: 'addresses that pass through have 32 bits',
    by: 'attach/identity',
    needs: ['identity-passthrough'],
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        if (answer.outcome === OUTCOME.BYPASS) answer.paHi = 0;
      }),
  },
  {
    id: 'hardware/fetches-refused',
    breaks: 'instruction fetches are refused though no mapping can say so',
    by: 'permission/no-execute',
    unless: ['execute-permission'],
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        honest(request, answer);
        if (request.access !== ACCESS.EXECUTE || answer.outcome === OUTCOME.FAULT) return;
        answer.outcome = OUTCOME.FAULT;
        answer.reason = FAULT_REASON.PERMISSION;
        answer.recordWords = 0;
      }),
  },
  {
    id: 'hardware/stale-record',
    breaks: 'an answer keeps the length of an earlier record when there is none',
    by: 'fault/log-full',
    mutate: (plugin) =>
      mutateTranslate(plugin, () => {
        let words = 0;
        return (request, answer, honest) => {
          honest(request, answer);
          if (answer.outcome !== OUTCOME.FAULT) return;
          words = answer.recordWords || words;
          answer.recordWords = words;
        };
      }),
  },
  {
    id: 'hardware/record-length-left-alone',
    breaks: 'an answer without a record says nothing of its length',
    by: 'fault/record-or-none',
    unless: ['reports-blocked'],
    mutate: (plugin) =>
      mutateTranslate(plugin, () => (request, answer, honest) => {
        const { recordWords } = answer;
        honest(request, answer);
        if (answer.recordWords === 0) answer.recordWords = recordWords;
      }),
  },
];

function passThrough({ iovaHi, iovaLo }: DmaRequest, answer: DmaAnswer): void {
  answer.outcome = OUTCOME.BYPASS;
  answer.paHi = iovaHi & 0x000f_ffff;
  answer.paLo = iovaLo;
  answer.pageSizeLg2 = 64;
}

/** A cache in front of the unit that nothing ever invalidates, keyed by 4 KiB page, access and what `owner` says. */
function stubbornCache(owner: (request: DmaRequest) => number) {
  const held = new Map<string, { paHi: number; paLo: number; lg2: number; permissions: number }>();
  return (request: DmaRequest, answer: DmaAnswer, honest: (request: DmaRequest, answer: DmaAnswer) => void): void => {
    const page = `${request.iovaHi}:${request.iovaLo >>> 12}`;
    const key = `${owner(request)} ${request.pasid} ${request.access} ${page}`;
    const known = held.get(key);
    if (known) {
      answer.outcome = OUTCOME.TRANSLATED;
      answer.paHi = known.paHi;
      answer.paLo = known.paLo | (request.iovaLo & 0xfff);
      answer.pageSizeLg2 = known.lg2;
      answer.permissions = known.permissions;
      return;
    }
    honest(request, answer);
    if (answer.outcome !== OUTCOME.TRANSLATED) return;
    const { paHi, paLo, pageSizeLg2, permissions } = answer;
    held.set(key, { paHi, paLo: paLo & ~0xfff, lg2: pageSizeLg2, permissions });
  };
}
