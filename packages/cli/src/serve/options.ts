import { type Command, Option } from 'commander';
import { withPluginOption } from '../commands/shared.ts';

/** What is served: options of `serve` and `run` alike. */
export interface ServedOptions {
  readonly machine?: string;
  readonly mock?: boolean;
  readonly plugin: readonly string[];
}

export function withServedOptions(command: Command): Command {
  return withPluginOption(command)
    .addOption(
      new Option('--machine <file>', 'YAML: units and devices (default: one of each vendor)').conflicts('mock'),
    )
    .option('--mock', "the mock IOMMU and test commands of the kernel's own iommufd tests");
}
