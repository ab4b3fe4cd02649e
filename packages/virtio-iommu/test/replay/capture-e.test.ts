import { bytesToHex, hexToBytes, hiOf, loOf, toBig } from '@iommukit/bits';
import { ACCESS, type Access, DmaAnswer, DmaRequest, OUTCOME, PERMISSION } from '@iommukit/core';
import { beforeAll, describe, expect, test } from 'vitest';
import { faultName } from '../../src/format/events.ts';
import { FLIP } from '../../src/hardware/address.ts';
import type { DomainTable } from '../../src/hardware/domains.ts';
import { MAPPING } from '../../src/hardware/mapping-tree.ts';
import { replay } from '../../src/replay/replay.ts';
import type { VirtioReplaySession } from '../../src/replay/session.ts';
import { type CapturedFault, capturedGolden, capturedRequests, capturedTranslations } from '../capture.ts';

const requests = capturedRequests();
const translations = capturedTranslations();
const golden = capturedGolden();

const recorded = requests.map(({ seq, raw, write_offset }) => ({
  seq,
  raw: hexToBytes(raw),
  writeOffset: write_offset,
}));
const bdf = (text: string): number => {
  const [bus, slot, fn] = text.split(/[:.]/).map((part) => Number.parseInt(part, 16)) as [number, number, number];
  return (bus << 8) | (slot << 3) | fn;
};

function ask(session: VirtioReplaySession, device: number, iova: bigint, access: Access): DmaAnswer {
  const request = new DmaRequest();
  const answer = new DmaAnswer();
  Object.assign(request, { device, iovaHi: hiOf(iova), iovaLo: loOf(iova), access });
  session.hardware.translate(request, answer);
  return answer;
}

const accessOf = ({ access }: { access: 'r' | 'w' }): Access => (access === 'w' ? ACCESS.WRITE : ACCESS.READ);

/** Device-written bytes as the capture has them: what follows the readable part of the request's type. */
const answerIn = (raw: string, type: string): string =>
  raw.slice(2 * { PROBE: 72, ATTACH: 20, MAP: 36, UNMAP: 28 }[type]!);

describe('capture E, replayed request by request', () => {
  const wrong: string[] = [];
  const misread: string[] = [];
  const faulted: { want: CapturedFault; answer: DmaAnswer; raw: number }[] = [];
  let session: VirtioReplaySession;

  beforeAll(() => {
    const endpoints = [...new Set(recorded.flatMap((request) => replay.endpointsOf(request)))];
    session = replay.open({ endpoints, config: null }) as VirtioReplaySession;
    let next = 0;
    const faults = [...golden.faults];
    recorded.forEach((request, i) => {
      const { type, raw, status } = requests[i]!;
      const got = session.submit(request);
      const want = { seq: i, type, status, used: answerIn(raw, type).length / 2, raw: answerIn(raw, type) };
      const have = { ...got, raw: bytesToHex(got.raw) };
      if (JSON.stringify(have) !== JSON.stringify(want))
        wrong.push(`${JSON.stringify(have)} not ${JSON.stringify(want)}`);
      for (; translations[next]?.after_seq === i; next++) {
        const line = translations[next]!;
        const answer = ask(session, line.endpoint, BigInt(line.iova), accessOf(line));
        const pa = `0x${toBig(answer.paHi, answer.paLo).toString(16)}`;
        if (answer.outcome !== OUTCOME.TRANSLATED || pa !== line.pa)
          misread.push(`${JSON.stringify(line)}: ${answer.outcome} ${pa}`);
      }
      for (; faults[0]?.after_seq === i; faults.shift()) {
        const want = faults[0]!;
        const answer = ask(session, want.endpoint, BigInt(want.iova), accessOf(want));
        faulted.push({ want, answer, raw: answer.record[1]! });
      }
    });
    expect(next).toBe(5028);
    expect(faults).toEqual([]);
  });

  test('13,610 answers have the same bytes, statuses and used lengths', () => {
    expect(requests).toHaveLength(13_610);
    expect(wrong).toEqual([]);
  });

  test('5,028 translations hold, each at its own point of the stream', () => expect(misread).toEqual([]));

  test('416 faults are MAPPING faults, and reported with address and direction', () => {
    expect(faulted).toHaveLength(416);
    for (const { want, answer, raw } of faulted) {
      expect([answer.outcome, answer.code, faultName(answer.code)]).toEqual([OUTCOME.FAULT, 2, want.reason]);
      expect(raw).toBe(want.access === 'w' ? 0x102 : 0x101);
      expect([answer.recordWords, answer.record[0], answer.record[2]]).toEqual([6, 2, want.endpoint]);
      expect(toBig(answer.record[5]!, answer.record[4]!)).toBe(BigInt(want.iova));
    }
  });

  test('4,281 translations are live at the end, with the permissions of their MAP', () => {
    expect(golden.translations_live_at_end).toHaveLength(4281);
    const bad = golden.translations_live_at_end.filter((line) => {
      const answer = ask(session, line.endpoint, BigInt(line.iova), accessOf(line));
      const pa = toBig(answer.paHi, answer.paLo) === BigInt(line.pa);
      const mask = PERMISSION.READ | PERMISSION.WRITE;
      return answer.outcome !== OUTCOME.TRANSLATED || !pa || answer.permissions !== (line.map_flags! & mask);
    });
    expect(bad).toEqual([]);
  });

  test('the final mappings of every domain are the capture’s', () => {
    expect(session.device.table.list().map((domain) => describeDomain(session.device.table, domain.id))).toEqual(
      golden.final_state.map(({ domain, endpoints, mappings }) => ({
        domain,
        endpoints: endpoints.map(bdf),
        mappings: mappings.map(({ virt_start, virt_end, phys_start, flags }) => [
          virt_start,
          virt_end,
          phys_start,
          flags,
        ]),
      })),
    );
  });
});

function describeDomain(table: DomainTable, id: number): unknown {
  const { tree, members } = table.domain(id)!;
  const { cells } = table.store.mappings;
  const mappings: unknown[] = [];
  const hex = (hi: number, lo: number) => `0x${toBig(hi, lo).toString(16)}`;
  let at = tree.ceiling(FLIP, FLIP);
  while (at !== -1) {
    const half = (word: number) => cells[at + word]! ^ FLIP;
    const start = toBig(half(MAPPING.START_HI), half(MAPPING.START_LO));
    const delta = toBig(cells[at + MAPPING.DELTA_HI]!, cells[at + MAPPING.DELTA_LO]!);
    const last = toBig(half(MAPPING.LAST_HI), half(MAPPING.LAST_LO));
    const pa = BigInt.asUintN(64, start + delta);
    mappings.push([
      `0x${start.toString(16)}`,
      hex(half(2), half(3)),
      `0x${pa.toString(16)}`,
      cells[at + MAPPING.FLAGS],
    ]);
    at = last === (1n << 64n) - 1n ? -1 : tree.ceiling(hiOf(last + 1n) ^ FLIP, loOf(last + 1n) ^ FLIP);
  }
  return { domain: id, endpoints: [...members].map(({ endpoint }) => endpoint), mappings };
}
