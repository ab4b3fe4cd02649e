import type { Command } from './command.ts';
import type { Struct } from './struct.ts';

/** The commands as a Markdown table: request, name, `sizeof`, smallest size. */
export function commandTable(commands: readonly Command[]): string {
  const rows = commands.map(({ request, name, struct, min }) => [hex(request), name, String(struct.size), String(min)]);
  return markdown(['request', 'command', 'size', 'min'], rows);
}

/** One structure's fields as a Markdown table, in order of offset. */
export function structTable({ fields }: Struct): string {
  const rows = Object.entries(fields)
    .sort(([, a], [, b]) => a.at - b.at)
    .map(([name, { at, kind }]) => [String(at), kind, name]);
  return markdown(['offset', 'type', 'field'], rows);
}

const hex = (value: number): string => `0x${value.toString(16)}`;

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
