import type { Lethe } from '@lethe/client';
import { type Command, Option } from 'commander';
import { CLI } from '../errors.ts';
import { fullName } from './names.ts';

export interface RootOptions {
  readonly dataset?: string;
  readonly root?: string;
}

/** Options of a command that learns from the records under a root. */
export function addRootOptions(command: Command): Command {
  return command
    .addOption(new Option('--dataset <name>', 'learn from the newest root of this dataset').conflicts('root'))
    .option('--root <name>', 'learn from this root: tenants/T/datasets/D/roots/N');
}

/** @throws LETHE-5013 none named, LETHE-5017 the dataset has none yet */
export async function rootOf(clients: Lethe, tenant: string, options: RootOptions): Promise<string> {
  if (options.root !== undefined) return await fullName('datasetRoot', tenant, options.root);
  if (options.dataset === undefined)
    throw CLI.WRONG_USAGE('name what to learn from: --dataset NAME or --root NAME');
  const name = await fullName('dataset', tenant, options.dataset);
  const { latestRoot } = await clients.vault.getDataset({ name });
  if (latestRoot === '') throw CLI.NO_ROOT(`${name} has no committed root`);
  return latestRoot;
}
