import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { print } from '../output.ts';
import type { Cli } from '../program.ts';
import { saveCertificate } from './erasure.ts';
import { fullName } from './names.ts';

const VERIFY_HELP = `
Reads two files and opens no connection; no platform is needed. The key file must have reached you by another way than the
certificate. 0 verified · 1 refused · 2 wrong usage, or a file that cannot be read.

Examples:
  $ lethe certificate verify certificate.json --key verify-key.json
`;

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
    .addHelpText('after', VERIFY_HELP)
    .action(async (file: string, options: { key: string }, command: Command) => {
      const { runVerify } = await import('@lethe/certificate');
      const json = cli.globals(command).json === true ? ['--json'] : [];
      // A path that starts with a hyphen is a path here: commander has told it from the options.
      const safe = (path: string): string => (path.startsWith('-') ? `./${path}` : path);
      cli.exitCode = runVerify([safe(file), '--key', safe(options.key), ...json], {
        readFile: (path) => readFileSync(path),
        out: (text) => cli.io.out(text),
        err: (text) => cli.io.err(text),
      });
    });
}
