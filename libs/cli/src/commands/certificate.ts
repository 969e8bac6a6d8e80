import { readFileSync } from 'node:fs';
import type { VerifyIo } from '@lethe/certificate';
import type { Command } from 'commander';
import { print } from '../output.ts';
import type { Cli } from '../program.ts';
import { saveCertificate } from './erasure.ts';
import { fullName } from './names.ts';

const VERIFY_HELP = `
Reads two files and opens no connection; no platform is needed. The key file must have reached you by another way than the
certificate. A claim on a code index whose proof is too long names it by its digest; --ledger-proof takes what \`lethe hash erasure-proof\`
has written. 0 verified · 1 refused · 2 wrong usage, or a file that cannot be read.

Examples:
  $ lethe certificate verify certificate.json --key verify-key.json
  $ lethe certificate verify certificate.json --key verify-key.json --ledger-proof ledger.json
`;

const INCLUSION_HELP = `
The file is what \`lethe hash inclusion\` has written. 0 verified · 1 refused · 2 wrong usage, or a file that cannot be read.

Examples:
  $ lethe certificate inclusion leaf.json --root 5f1c…
`;

/** A path that starts with a hyphen is a path here: commander has told it from the options. */
const safe = (path: string): string => (path.startsWith('-') ? `./${path}` : path);

const files = ({ io }: Cli): VerifyIo => ({
  readFile: (path) => readFileSync(path),
  out: (text) => io.out(text),
  err: (text) => io.err(text),
});

export function addCertificate(program: Command, cli: Cli): void {
  const certificate = program.command('certificate').description('signed certificates of erasure');
  certificate
    .command('get <erasure>')
    .description('write the certificate of an erasure, and the key file to verify it')
    .requiredOption('--certificate <file>', 'where to write the certificate; must not exist yet')
    .option('--key <file>', 'where to write the key file to verify it; must not exist yet')
    .addHelpText(
      'after',
      '\nExamples:\n  $ lethe certificate get l2k4… --certificate certificate.json --key verify-key.json\n',
    )
    .action(async (typed: string, options: { certificate: string; key?: string }, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('erasureRequest', platform.tenant(), typed);
      const digest = await platform.withClients('auditor', (clients) =>
        saveCertificate(clients, name, options.certificate, options.key),
      );
      print(cli.io, cli.globals(command).json === true, {
        certificate: options.certificate,
        digest,
        key: options.key ?? '',
      });
    });
  certificate
    .command('verify <file>')
    .description('check a certificate, offline')
    .requiredOption('--key <file>', 'key file')
    .option(
      '--ledger-proof <file>',
      'proof about a code ledger; again for several',
      (path: string, before: readonly string[]) => [...before, path],
      [],
    )
    .addHelpText('after', VERIFY_HELP)
    .action(async (file: string, options: { key: string; ledgerProof: string[] }, command: Command) => {
      const { runVerify } = await import('@lethe/certificate');
      const json = cli.globals(command).json === true ? ['--json'] : [];
      const proofs = options.ledgerProof.flatMap((path) => ['--ledger-proof', safe(path)]);
      cli.exitCode = runVerify([safe(file), '--key', safe(options.key), ...proofs, ...json], files(cli));
    });
  certificate
    .command('inclusion <file>')
    .description('check that a leaf stands in a code ledger, offline')
    .requiredOption('--root <hex>', 'root of the ledger that you trust')
    .addHelpText('after', INCLUSION_HELP)
    .action(async (file: string, { root }: { root: string }) => {
      const { runInclusion } = await import('@lethe/certificate');
      cli.exitCode = runInclusion([safe(file), '--root', root], files(cli));
    });
}
