import { bytesToHex } from '@iommukit/bits';
import type { DecodedEntry, NativeDecoder, VendorPlugin } from '@iommukit/core';
import { Command } from 'commander';
import { type DumpOptions, openDump } from '../dump/open.ts';
import { parseHex } from '../input/hex.ts';
import { fieldText, jsonFields } from '../output/fields.ts';
import { Progress } from '../output/progress.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import { loadVendor } from '../vendors.ts';
import { type CommandContext, withDumpOptions, withVendorOptions } from './shared.ts';

interface DecodeOptions extends Omit<DumpOptions, 'registers'> {
  readonly kind: string;
  readonly registers?: string;
  readonly queue?: string;
  readonly json?: boolean;
}

export function decodeCommand(context: CommandContext): Command {
  const command = new Command('decode').description('take native structures, commands, requests and records apart');
  return withDumpOptions(withVendorOptions(command), false)
    .requiredOption('--kind <kind>', "what the bytes are; a wrong kind is answered with the vendor's list")
    .argument('[hex...]', 'bytes in memory order, one entry an argument')
    .option('--queue <name>', 'a whole ring of a dump, oldest entry first')
    .option('--json', 'one JSON object an entry')
    .action((entries: string[], options: DecodeOptions) => decode(entries, options, context));
}

async function decode(entries: readonly string[], options: DecodeOptions, context: CommandContext): Promise<void> {
  if (options.queue === undefined) return decodeArguments(entries, options, context);
  if (entries.length > 0) throw new UsageError(`argument '${entries[0]}': '--queue' takes its entries from the dump`);
  return decodeQueue(options.queue, options, context);
}

async function decodeArguments(entries: readonly string[], options: DecodeOptions, { out }: CommandContext) {
  const plugin = await loadVendor(options.vendor, options.plugin);
  checkKind(plugin, options.kind);
  if (options.memory.length > 0 || options.registers) throw new UsageError("option '--queue' is missing: which ring?");
  if (entries.length === 0) throw new UsageError("argument 'hex' is missing (or '--queue NAME' with a dump)");
  const present = options.json ? jsonOf : textOf;
  const lines = entries.map((text) => present(decodeArgument(plugin, options.kind, text), {}));
  for (const line of lines) await out.line(line);
}

function decodeArgument(plugin: VendorPlugin, kind: string, text: string): DecodedEntry {
  let bytes: Uint8Array;
  try {
    bytes = parseHex(text);
  } catch (error) {
    throw new UsageError(`argument 'hex': ${reasonOf(error)}`);
  }
  return decodeEntry(plugin.decoder, kind, bytes);
}

/** Bytes that cannot be one entry of the kind are an unknown entry, as anything else that is not legal. */
function decodeEntry(decoder: NativeDecoder, kind: string, bytes: Uint8Array): DecodedEntry {
  const sizes = decoder.sizes(kind);
  if (sizes.includes(bytes.length) || decoder.anyLength?.includes(kind)) return decoder.decode(kind, bytes);
  const problems = [`${bytes.length} bytes, but a ${kind} has ${sizes.join(' or ')}`];
  return { kind, name: 'UNKNOWN', fields: {}, raw: bytesToHex(bytes), reserved: [], problems };
}

async function decodeQueue(queue: string, options: DecodeOptions, { io, out }: CommandContext): Promise<void> {
  const { registers } = options;
  if (registers === undefined) throw new UsageError("option '--queue' needs '--registers'");
  if (options.memory.length === 0) throw new UsageError("option '--queue' needs '--memory'");
  const { plugin, reader } = await openDump({ ...options, registers });
  checkKind(plugin, options.kind);
  if (!reader.queues.includes(queue))
    throw new UsageError(`option '--queue': no queue '${queue}'; known: ${reader.queues.join(', ')}`);
  const present = options.json ? jsonOf : textOf;
  const progress = new Progress(io.stderr, 'entries decoded');
  let done = 0;
  for (const entry of reader.queue(queue)) {
    const { index, consumed } = entry;
    const full = out.line(present(decodeEntry(plugin.decoder, options.kind, entry.bytes), { index, consumed }));
    if (full) await full;
    progress.tick(++done);
  }
  progress.done();
}

function checkKind({ id, decoder }: VendorPlugin, kind: string): void {
  if (!decoder.kinds.includes(kind))
    throw new UsageError(`option '--kind': ${id} has no '${kind}'; known: ${decoder.kinds.join(', ')}`);
}

type Place = { readonly index?: number; readonly consumed?: boolean };

function jsonOf({ kind, name, fields, raw, reserved, problems }: DecodedEntry, place: Place): string {
  return JSON.stringify({ ...place, kind, name, fields: jsonFields(fields), raw, reserved, problems });
}

function textOf({ name, fields, labels, raw, reserved, problems }: DecodedEntry, { index, consumed }: Place): string {
  const place = index === undefined ? '' : `${String(index).padStart(6)} ${consumed ? ' ' : '>'} `;
  const remarks = [...reserved.map((bits) => `reserved ${bits}`), ...problems].map((text) => `\n        ! ${text}`);
  return `${place}${name}  ${fieldText(fields, labels)}  ${raw}${remarks.join('')}`;
}
