import { hex } from '@iommukit/bits';
import type { AnswerRecord } from '../dump/answer.ts';
import type { Step } from '../dump/translator.ts';
import { groupedHex } from './hex-text.ts';
import { sizeText } from './size.ts';

/** One answer on one line. */
export function answerLine(answer: AnswerRecord): string {
  return `${questionText(answer)}  ->  ${resultText(answer)}`;
}

/** The walk, each step below the one that led to it, then the answer. */
export function walkText(answer: AnswerRecord, steps: readonly Step[]): string {
  const lines = steps.flatMap(({ what, address, raw, text }, at) => [
    `${String(at + 1).padStart(4)}  ${what} at ${address}`,
    `        ${groupedHex(raw)}`,
    `        ${text}`,
  ]);
  return [questionText(answer), ...lines, `=> ${resultText(answer)}`].join('\n');
}

function questionText({ device, pasid, iova, access }: AnswerRecord): string {
  return `device ${hex(device)}${pasid === null ? '' : ` pasid ${pasid}`} ${access} ${iova}`;
}

function resultText({ outcome, pa, pageSize, permissions, fault }: AnswerRecord): string {
  if (fault) {
    const code = fault.code === null ? '' : ` (code ${fault.code}, ${hex(fault.code)})`;
    return `fault: ${fault.reason}, ${fault.name}${code}, ${fault.record ? `record ${fault.record}` : 'nothing recorded'}`;
  }
  if (outcome === 'bypass') return `${pa} untranslated`;
  return `${pa} ${permissions || '-'} page ${sizeText(pageSize!)}`;
}
