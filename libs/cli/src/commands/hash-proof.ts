/** Proofs about a code ledger, as files that the offline verifier reads. */
import { utf8 } from '@lethe/std';
import type { Command } from 'commander';
import { CLI } from '../errors.ts';
import { writeNewFile } from '../files.ts';
import { plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { fullName } from './names.ts';

const INCLUSION_HELP = `
The file is checked offline against a root that you trust: a certificate's digestAfter, or one that you wrote down.

Examples:
  $ lethe hash inclusion sensors 000102030405060708090a0b0c0d0e0f --proof leaf.json
  $ lethe certificate inclusion leaf.json --root 5f1c…
`;

const ERASURE_HELP = `
For certificates whose claim on the index names the proof by its digest, because it is too long to be carried.

Examples:
  $ lethe hash erasure-proof sensors l2k4… --proof ledger.json
  $ lethe certificate verify certificate.json --key verify-key.json --ledger-proof ledger.json
`;

export function addHashProof(hash: Command, cli: Cli): void {
  hash
    .command('inclusion <name> <item>')
    .description('write the proof that an item (32 hex digits) has a leaf in the code ledger')
    .requiredOption('--proof <file>', 'where to write it; must not exist yet')
    .addHelpText('after', INCLUSION_HELP)
    .action(async (typed: string, item: string, { proof }: { proof: string }, command: Command) => {
      if (!/^[0-9a-f]{32}$/u.test(item)) throw CLI.WRONG_USAGE('ITEM must be 32 lower-case hex digits');
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const { appliedSequence: _, ...leaf } = await platform.withClients('auditor', (clients) =>
        clients.hashing.getInclusionProof({ name, itemId: Buffer.from(item, 'hex') }),
      );
      const shown = plain(leaf);
      writeNewFile(proof, utf8(`${JSON.stringify(shown, null, 2)}\n`));
      print(cli.io, cli.globals(command).json === true, shown);
    });
  hash
    .command('erasure-proof <name> <erasure>')
    .description('write the proof that an erasure changed its leaves of the code ledger and no other')
    .requiredOption('--proof <file>', 'where to write it; must not exist yet')
    .addHelpText('after', ERASURE_HELP)
    .action(async (typed: string, request: string, options: { proof: string }, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const erasure = await fullName('erasureRequest', platform.tenant(), request);
      const { proof, digest } = await platform.withClients('auditor', (clients) =>
        clients.hashing.getErasureProof({ name, erasure }),
      );
      writeNewFile(options.proof, proof);
      print(cli.io, cli.globals(command).json === true, { proof: options.proof, digest });
    });
}
