/**
 * One party as a process: `node libs/party/src/main.ts --config FILE`. The configuration is JSON with the members of `Config`;
 * paths in it are relative to its folder.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readPrivateFile } from '@lethe/rpc';
import { createLogger, parseLogLevel } from '@lethe/telemetry';
import { PARTY } from './errors.ts';
import { RowStore } from './rows.ts';
import { runParty } from './run-party.ts';

interface Config {
  readonly address: string;
  /** File with the token alone, or with the platform's list of credentials; mode 0600. */
  readonly tokenFile: string;
  readonly federation: string;
  readonly party: string;
  readonly rowsFile: string;
  readonly keyFile: string;
}

const MEMBERS = ['address', 'tokenFile', 'federation', 'party', 'rowsFile', 'keyFile'] as const;

function readConfig(path: string): Config {
  let value: Partial<Record<string, unknown>>;
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as Partial<Record<string, unknown>>;
  } catch (cause) {
    throw PARTY.CONFIG_INVALID('the configuration is not a JSON file', { cause });
  }
  for (const member of MEMBERS) {
    if (typeof value[member] !== 'string' || value[member] === '') {
      throw PARTY.CONFIG_INVALID(`${member} is missing or no text`, { details: { member } });
    }
  }
  const config = value as unknown as Config;
  const at = (file: string): string => resolve(dirname(path), file);
  return {
    ...config,
    tokenFile: at(config.tokenFile),
    rowsFile: at(config.rowsFile),
    keyFile: at(config.keyFile),
  };
}

function readToken(path: string): string {
  const text = readPrivateFile(path).toString('utf8').trim();
  if (!text.startsWith('[')) return text;
  const credentials = JSON.parse(text) as { readonly role: string; readonly token: string }[];
  const own = credentials.find(({ role }) => role === 'party');
  if (!own) {
    throw PARTY.CONFIG_INVALID('the credentials hold none for a party', { details: { member: 'tokenFile' } });
  }
  return own.token;
}

const { values } = parseArgs({ options: { config: { type: 'string' } } });
if (values.config === undefined) throw PARTY.CONFIG_INVALID('--config FILE is missing');
const config = readConfig(values.config);
const level = parseLogLevel(process.env.LETHE_LOG ?? 'info');
const logger = createLogger({ name: `party-${config.party}`, level });
const party = runParty({
  ...config,
  token: readToken(config.tokenFile),
  rows: RowStore.open(config.rowsFile),
  logger,
  onProgress: (progress) => logger.info('party', { ...progress }),
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void party.stop());
party.finished.catch(() => {
  process.exitCode = 1;
});
