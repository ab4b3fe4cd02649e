import { hex } from '@iommukit/bits';
import type { DumpMapping } from '@iommukit/core';
import { Command } from 'commander';
import { permissionText } from '../dump/answer.ts';
import { type DumpOptions, openDump } from '../dump/open.ts';
import { joinRuns } from '../dump/runs.ts';
import { formatPci } from '../input/device.ts';
import { parsePasid } from '../input/number.ts';
import { Progress } from '../output/progress.ts';
import { sizeText } from '../output/size.ts';
import { UsageError } from '../usage-error.ts';
import { type CommandContext, checked, withDumpOptions, withVendorOptions } from './shared.ts';
import { deviceOption } from './translate.ts';

interface MappingsOptions extends DumpOptions {
  readonly device?: string;
  readonly pasid?: number;
  readonly json?: boolean;
}

export function mappingsCommand(context: CommandContext): Command {
  const command = new Command('mappings').description('list everything a dump maps for a device, or for all of them');
  return withDumpOptions(withVendorOptions(command))
    .option('--device <id>', 'only this requester id')
    .option('--pasid <n>', 'only this PASID or SubstreamID', checked(parsePasid))
    .option('--json', 'one JSON object a run of pages')
    .action((options: MappingsOptions) => mappings(options, context));
}

async function mappings(options: MappingsOptions, { io, out }: CommandContext): Promise<void> {
  if (options.memory.length === 0) throw new UsageError("required option '--memory <file[@0xbase]>' not specified");
  const { reader, support } = await openDump(options);
  const only = options.device === undefined ? null : deviceOption(options.device, support.pciIds);
  const idText = support.pciIds ? formatPci : hex;
  const present = options.json ? jsonOf : (...run: RunPlace) => textOf(idText, ...run);
  const progress = new Progress(io.stderr, 'leaves read');
  let leaves = 0;
  const counted = function* (list: Iterable<DumpMapping>) {
    for (const leaf of list) {
      progress.tick(++leaves);
      yield leaf;
    }
  };
  for (const { device, pasid } of reader.devices()) {
    if (only !== null && device !== only) continue;
    if (options.pasid !== undefined && pasid !== options.pasid) continue;
    for (const run of joinRuns(counted(reader.mappings(device, pasid)))) {
      const full = out.line(present(device, pasid, run));
      if (full) await full;
    }
  }
  progress.done();
}

/** The numbers are exact: a run's size is a whole number of pages, fewer than 2^53 of them. */
function jsonOf(device: number, pasid: number | null, run: DumpMapping): string {
  return JSON.stringify({
    device,
    pasid,
    iova: hex(run.iova),
    size: Number(run.size),
    pa: hex(run.pa),
    permissions: permissionText(run.permissions),
    pageSize: Number(run.pageSize),
  });
}

type RunPlace = [device: number, pasid: number | null, run: DumpMapping];

function textOf(idText: (device: number) => string, ...[device, pasid, run]: RunPlace): string {
  const range = `${hex(run.iova)}-${hex(run.iova + run.size - 1n)}`.padEnd(37);
  const who = `${idText(device)}${pasid === null ? '' : `/${pasid}`}`.padEnd(8);
  const target = `${hex(run.pa)}`.padEnd(18);
  const permissions = (permissionText(run.permissions) || '-').padEnd(3);
  return `${who} ${range} -> ${target} ${permissions} ${sizeText(run.size)} in pages of ${sizeText(run.pageSize)}`;
}
