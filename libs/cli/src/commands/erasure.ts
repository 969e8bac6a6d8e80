import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Lethe } from '@lethe/client';
import type { erasure } from '@lethe/contracts';
import { assert, hex } from '@lethe/std';
import type { Command } from 'commander';
import { integer } from '../arguments.ts';
import { CLI } from '../errors.ts';
import { writeNewFile } from '../files.ts';
import { follow } from '../follow.ts';
import type { CliIo } from '../io.ts';
import { type Plain, Progress, plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { fullName, parentName } from './names.ts';

interface EraseOptions {
  readonly policy: string;
  readonly requestId?: string;
  readonly wait: boolean;
  readonly certificate?: string;
  readonly key?: string;
}

const ERASE_HELP = `
SUBJECT is your own identifier of the person. Written as "-", it is read from standard input and so stands in no shell history.
The opening is shown once: with it, and only with it, the person can show that the certificate is theirs. Nobody keeps a copy.
Leaving the command does not stop the erasure. 0 only for an erasure that is CERTIFIED.

Examples:
  $ lethe erase operator-017 --certificate certificate.json --key verify-key.json
  $ lethe erase - --policy gdpr-art-17 --no-wait < subject.txt
`;

export function addErase(program: Command, cli: Cli): void {
  program
    .command('erase <subject>')
    .description('forget a person: records, models, index, federation; with a signed certificate')
    .option('--policy <word>', 'why, for the record; never a name', 'gdpr-art-17')
    .option('--request-id <id>', 'repeat a call safely under the same id (default: a new one)')
    .option('--wait', 'watch until it ends (the default)', true)
    .option('--no-wait', 'return as soon as it is requested')
    .option('--certificate <file>', 'where to write the certificate; must not exist yet')
    .option('--key <file>', 'where to write the key file to verify it; must not exist yet')
    .addHelpText('after', ERASE_HELP)
    .action(async (typed: string, options: EraseOptions, command: Command) => {
      checkFiles(options);
      const platform = cli.platform(command);
      const json = cli.globals(command).json === true;
      const subjectId = typed === '-' ? (await cli.io.readStdin()).replace(/\r?\n$/, '') : typed;
      await platform.withClients('auditor', async (clients) => {
        const { erasureRequest, opening } = await clients.erasure.createErasureRequest({
          parent: await parentName(platform.tenant()),
          subjectId,
          policy: options.policy,
          requestId: options.requestId ?? randomUUID(),
        });
        assert(erasureRequest, 'a created erasure request is in the answer');
        const made = erasureRequest;
        tellOpening(cli.io, made.name, opening);
        // On a terminal the opening stands above already; a program finds it in the one answer that it parses.
        const answer = (shown: Plain): Plain => (json ? { erasure: shown, opening: hex(opening) } : shown);
        if (!options.wait) return print(cli.io, json, answer(await view(made)));
        const end = await watch(cli.io, clients, made.name);
        print(cli.io, json, answer(await view(end)));
        if (options.certificate !== undefined && end.certificateDigest !== '') {
          await saveCertificate(clients, end.name, options.certificate, options.key);
          cli.io.err(`wrote ${[options.certificate, options.key].filter(Boolean).join(' and ')}\n`);
        }
        checkEnd(end);
      });
    });
}

/** Before anything is erased: there is one certificate, and it should not fail for want of a place. */
function checkFiles({ certificate, key, wait }: EraseOptions): void {
  if (!wait && (certificate ?? key) !== undefined) {
    throw CLI.WRONG_USAGE('--certificate and --key need --wait: the certificate is there at the end');
  }
  if (key !== undefined && certificate === undefined) throw CLI.WRONG_USAGE('--key needs --certificate FILE');
  for (const path of [certificate, key]) {
    if (path !== undefined && existsSync(path)) throw CLI.FILE_UNWRITABLE(`${path} exists`);
  }
}

function tellOpening(io: CliIo, name: string, opening: Uint8Array): void {
  if (opening.length === 0) {
    io.err(`${name} had been requested before; its opening was given then and is kept nowhere.\n`);
    return;
  }
  io.err(
    `${name} requested.\n` +
      `Opening: ${hex(opening)}\n` +
      '  Give it to the person and to nobody else. It is shown this once and kept nowhere; with it they can show that the\n' +
      '  certificate is about them, and nobody can without it.\n',
  );
}

async function watch(io: CliIo, clients: Lethe, name: string): Promise<erasure.ErasureRequest> {
  const { CERTIFIED, PARTIAL, REFUSED, FAILED } = END;
  const ends: readonly number[] = [CERTIFIED, PARTIAL, REFUSED, FAILED];
  const progress = new Progress(io);
  return await follow({
    open: () => clients.erasure.watchErasureRequest({ name }),
    isFinal: ({ state }) => ends.includes(state),
    seen: ({ progress: at }) => at && progress.show(at.phase || 'erasing', at.done, at.total),
  }).finally(() => progress.end());
}

/** Final states, as numbers because the generated table belongs to the network modules. */
const END = { CERTIFIED: 5, PARTIAL: 6, REFUSED: 7, FAILED: 8 } as const satisfies Record<
  string,
  erasure.ErasureRequest_State
>;

function checkEnd({ name, state }: erasure.ErasureRequest): void {
  if (state === END.CERTIFIED) return;
  const word = Object.entries(END).find(([, value]) => value === state)?.[0] ?? 'without an end';
  throw CLI.ERASURE_INCOMPLETE(`${name} ended ${word}`);
}

async function view(shown: erasure.ErasureRequest): Promise<Plain> {
  const { common, erasure: contract } = await import('@lethe/contracts');
  // Parameters belong to a certified claim; an "epsilon 0" beside another would say what nobody claims.
  const claims = shown.claims.map(({ epsilon, delta, unit, ...claim }) =>
    claim.claim === common.Claim.CLAIM_ERASED_CERTIFIED ? { ...claim, epsilon, delta, unit } : claim,
  );
  return plain(
    { ...shown, claims },
    {
      state: [contract.ErasureRequest_State, 'STATE_'],
      status: [common.ConditionStatus, 'CONDITION_STATUS_'],
      claim: [common.Claim, 'CLAIM_'],
    },
  );
}

/** Writes the certificate's exact bytes and, where asked, the key file. @returns the digest of the certificate */
export async function saveCertificate(
  clients: Lethe,
  name: string,
  path: string,
  keyPath: string | undefined,
): Promise<string> {
  const { content, digest } = await clients.erasure.getCertificate({ name });
  writeNewFile(path, content);
  if (keyPath !== undefined) {
    const { tenantOf } = await import('@lethe/contracts');
    const parent = await parentName(tenantOf(name));
    writeNewFile(keyPath, (await clients.erasure.getVerifyKey({ parent })).content);
  }
  return digest;
}

export function addErasure(program: Command, cli: Cli): void {
  const group = program.command('erasure').description('erasure requests and how far they are');
  group
    .command('get <name>')
    .description('show an erasure: state, conditions, claims')
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('erasureRequest', platform.tenant(), typed);
      const found = await platform.withClients('auditor', (clients) =>
        clients.erasure.getErasureRequest({ name }),
      );
      print(cli.io, cli.globals(command).json === true, await view(found));
    });
  group
    .command('list')
    .description('erasure requests of the tenant, oldest first')
    .option('--limit <n>', 'at most so many', integer(1), 1000)
    .action(async ({ limit }: { limit: number }, command: Command) => {
      const platform = cli.platform(command);
      const parent = await parentName(platform.tenant());
      const found = await platform.withClients('auditor', (clients) => list(clients, parent, limit));
      const views = await Promise.all(found.map(view));
      print(cli.io, cli.globals(command).json === true, views.map(short));
    });
  group
    .command('watch <name>')
    .description('watch an erasure to its end')
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('erasureRequest', platform.tenant(), typed);
      await platform.withClients('auditor', async (clients) => {
        const end = await watch(cli.io, clients, name);
        print(cli.io, cli.globals(command).json === true, await view(end));
        checkEnd(end);
      });
    });
}

const PAGE_MAX = 100;

async function list(clients: Lethe, parent: string, limit: number): Promise<erasure.ErasureRequest[]> {
  const found: erasure.ErasureRequest[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(PAGE_MAX, limit - found.length);
    const page = await clients.erasure.listErasureRequests({ parent, pageSize, pageToken });
    found.push(...page.erasureRequests);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < limit);
  return found;
}

/** A list names and dates; `erasure get` shows the rest. */
function short(full: Plain): Plain {
  const { name, state, requestTime, completeTime, auditVerdict } = full as Readonly<Record<string, Plain>>;
  return Object.fromEntries(
    Object.entries({ name, state, requestTime, completeTime, auditVerdict }).filter(
      (entry): entry is [string, Plain] => entry[1] !== undefined,
    ),
  );
}
