/**
 * Finding, starting and stopping nats-server.
 *
 * A server that we start ends with us, even where we are killed with -9: it runs under a shell that holds the reading
 * end of a pipe from this process and ends the server when the pipe closes. The second net is the next start on the same
 * store directory: a server left over is recognised by its process's command line (nats-server with our configuration
 * file) and ended; a process that merely has the recorded number is left alone.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { hex, type Logger, secureRandom, silentLogger, sleep } from '@lethe/std';
import { EVENTS } from '../errors.ts';
import { freePort } from '../free-port.ts';
import { assertServerVersion } from './version.ts';

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 15_000;
const INSTALL = ['apt-get', 'install', '-y', '--no-install-recommends', 'nats-server'];

export interface FindOptions {
  /** The environment: PATH, LETHE_NO_INSTALL. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the command is printed before anything is installed. */
  readonly announce: (line: string) => void;
}

/**
 * Path of nats-server: from PATH, else installed with apt on Debian as root.
 * @throws LetheError LETHE-2020 not there and not installed; LETHE-2021 too old
 */
export function findNatsServer(options: FindOptions): string {
  const binary = onPath(options.environment.PATH ?? '') ?? install(options);
  assertServerVersion(versionOf(binary), false);
  return binary;
}

function onPath(path: string): string | undefined {
  const folders = path.split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, 'nats-server')).find((file) => existsSync(file));
}

function versionOf(binary: string): string {
  const said = execFileSync(binary, ['--version'], { encoding: 'utf8' });
  return /v?\d+\.\d+\.\d+\S*/.exec(said)?.[0] ?? said.trim();
}

function install({ environment, announce }: FindOptions): string {
  const forbidden = environment.LETHE_NO_INSTALL === '1';
  if (forbidden || !existsSync('/etc/debian_version') || process.getuid?.() !== 0) {
    throw EVENTS.SERVER_MISSING(
      forbidden
        ? 'nats-server is not on PATH and LETHE_NO_INSTALL=1 forbids installing it'
        : 'nats-server is not on PATH',
    );
  }
  announce(`nats-server is missing; installing it: ${INSTALL.join(' ')}`);
  const aptEnvironment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = (args: readonly string[]) =>
    spawnSync('apt-get', args, { stdio: ['ignore', 2, 2], env: aptEnvironment }).status === 0;
  if (!run(INSTALL.slice(1)) && !(run(['update']) && run(INSTALL.slice(1)))) {
    throw EVENTS.SERVER_MISSING(`${INSTALL.join(' ')} failed`);
  }
  // Debian puts it where the PATH of an ordinary user does not look.
  const binary = onPath([environment.PATH ?? '', '/usr/sbin'].join(delimiter));
  if (!binary) throw EVENTS.SERVER_MISSING('nats-server was installed but is not where it was expected');
  return binary;
}

export interface NatsServerOptions {
  readonly binary: string;
  /** Holds the JetStream store, configuration, log and process number. Created with mode 0700. */
  readonly directory: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Bytes that all streams together may reserve; default 3/4 of the free disk (nats-server's own rule). */
  readonly storeBytesMax?: number;
  /**
   * Flush every message to disk before it is acknowledged (nats-server 2.10 or newer; ignored before). Default false: a
   * killed process loses nothing, a power cut may lose what the kernel had not written.
   */
  readonly flushAlways?: boolean;
  readonly logger?: Logger;
  /** Further configuration lines, for clusters in tests. */
  readonly extraConfiguration?: string;
  readonly serverName?: string;
  /** Of the server's one user. Default: a fresh random one at each start; servers of one cluster share it. */
  readonly password?: string;
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  /** Number of the nats-server process. */
  readonly pid: number;
  readonly version: string;
  /** Folder of the JetStream files: what a byte scan has to read. */
  readonly storeDirectory: string;
  /** Ends the server and waits until it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts nats-server on loopback with JetStream.
 * @throws LetheError LETHE-2022 it did not come up; LETHE-2024 another platform runs on the directory
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const directory = resolve(options.directory);
  const logger = options.logger ?? silentLogger;
  const version = versionOf(options.binary);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const files = {
    configuration: join(directory, 'nats-server.conf'),
    pid: join(directory, 'nats-server.pid'),
    owner: join(directory, 'platform.pid'),
    log: join(directory, 'nats-server.log'),
    store: join(directory, 'jetstream'),
  };
  await endLeftover(files.pid, files.owner, files.configuration, logger);
  writeFileSync(files.owner, String(process.pid), { mode: 0o600 });
  const port = options.port ?? (await freePort());
  const password = options.password ?? hex(secureRandom().bytes(24));
  writeFileSync(files.configuration, configuration(options, files.store, port, version, password), {
    mode: 0o600,
  });

  const log = openSync(files.log, 'w', 0o600);
  const child = spawn(
    '/bin/sh',
    ['-c', UNDER_PIPE, 'nats-server', options.binary, '-c', files.configuration, '-P', files.pid],
    {
      stdio: ['ignore', log, log, 'pipe'],
      // Its own process group: Ctrl-C ends the platform, which then ends the server after its last acknowledgement.
      detached: true,
    },
  );
  // The child has its own; ours would hold the file for as long as the platform runs.
  closeSync(log);
  child.unref();
  const pipe = child.stdio[3];
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  let gone = false;
  void exited.then(() => {
    gone = true;
  });
  const stop = async (): Promise<void> => {
    pipe?.destroy();
    child.ref();
    const late = setTimeout(() => killIfOurs(files.pid, files.configuration, 'SIGKILL'), STOP_TIMEOUT_MS);
    if (!gone) await exited;
    clearTimeout(late);
    rmSync(files.pid, { force: true });
  };
  pipe?.on('error', () => undefined);
  if (pipe && 'unref' in pipe && typeof pipe.unref === 'function') pipe.unref();

  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!isReady(files.log)) {
    if (gone || Date.now() > deadline) {
      const reason = lastLines(files.log);
      await stop();
      throw EVENTS.SERVER_START_FAILED(`nats-server did not come up: ${reason}`, { details: { port } });
    }
    await sleep(20);
  }
  const pid = Number(readFileSync(files.pid, 'utf8'));
  logger.info('nats-server is up', { port, version, pid });
  return {
    url: `nats://${USER}:${password}@127.0.0.1:${port}`,
    port,
    pid,
    version,
    storeDirectory: files.store,
    stop,
  };
}

/** Runs "$@" until it ends or fd 3 closes. POSIX shell. */
const UNDER_PIPE = `"$@" 3<&- & server=$!
{ cat <&3 >/dev/null; kill "$server"; } 2>/dev/null &
wait "$server"`;

/** Loopback is shared with every user of the machine: the password is in files that only ours can read. */
const USER = 'lethe';

function configuration(
  options: NatsServerOptions,
  store: string,
  port: number,
  version: string,
  password: string,
): string {
  const newer = /^v?2\.9\./.test(version) === false;
  return [
    'host: 127.0.0.1',
    `port: ${port}`,
    // Two seconds, the server's default, are too few for a process that starts on a busy machine; nobody else reaches this port with a password.
    `authorization { user: ${USER}, password: "${password}", timeout: 20 }`,
    ...(options.serverName ? [`server_name: ${JSON.stringify(options.serverName)}`] : []),
    'jetstream {',
    `  store_dir: ${JSON.stringify(store)}`,
    ...(options.storeBytesMax === undefined ? [] : [`  max_file_store: ${options.storeBytesMax}`]),
    ...(options.flushAlways && newer ? ['  sync_interval: always'] : []),
    '}',
    ...(options.extraConfiguration ? [options.extraConfiguration] : []),
    '',
  ].join('\n');
}

const isReady = (log: string): boolean => readFileSync(log, 'utf8').includes('Server is ready');

const lastLines = (log: string): string =>
  readFileSync(log, 'utf8').trim().split('\n').slice(-3).join(' | ').slice(0, 600);

/** Ends a server that an earlier platform left on this directory, if that platform is gone. */
async function endLeftover(
  pidFile: string,
  ownerFile: string,
  configurationFile: string,
  logger: Logger,
): Promise<void> {
  const pid = killIfOurs(pidFile, configurationFile, 0);
  if (pid !== undefined) {
    if (isAlive(Number(readFileSync(ownerFile, 'utf8'))) && parentIsOurShell(pid, configurationFile)) {
      throw EVENTS.STORE_IN_USE('another platform runs on this data directory', { details: { pid } });
    }
    logger.warn('ending a nats-server that was left over on this data directory', { pid });
    killIfOurs(pidFile, configurationFile, 'SIGTERM');
    const deadline = Date.now() + STOP_TIMEOUT_MS;
    while (killIfOurs(pidFile, configurationFile, 0) !== undefined) {
      if (Date.now() > deadline) killIfOurs(pidFile, configurationFile, 'SIGKILL');
      await sleep(50);
    }
  }
  rmSync(pidFile, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    return pid > 1 && process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Signals the recorded process only if its command line says that it is nats-server on our configuration. @returns its number */
function killIfOurs(
  pidFile: string,
  configurationFile: string,
  signal: NodeJS.Signals | 0,
): number | undefined {
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, 'utf8').trim());
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  const line = commandLine(pid);
  if (!/nats-server/.test(line[0] ?? '') || !line.includes(configurationFile)) return undefined;
  try {
    process.kill(pid, signal);
    return pid;
  } catch {
    return undefined;
  }
}

function parentIsOurShell(pid: number, configurationFile: string): boolean {
  const parent = Number(run('ps', ['-o', 'ppid=', '-p', String(pid)]).trim());
  return Number.isInteger(parent) && parent > 1 && commandLine(parent).includes(configurationFile);
}

function commandLine(pid: number): readonly string[] {
  if (existsSync(`/proc/${pid}/cmdline`)) {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    } catch {
      return [];
    }
  }
  return run('ps', ['-o', 'command=', '-p', String(pid)])
    .trim()
    .split(' ');
}

function run(command: string, args: readonly string[]): string {
  return spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '';
}

export interface OpenNatsOptions extends FindOptions {
  readonly directory: string;
  readonly logger?: Logger;
  readonly storeBytesMax?: number;
  readonly port?: number;
}

/** The server the environment names (LETHE_NATS_URL), or one of our own. `server` is set only if it is ours to stop. */
export async function openNats(options: OpenNatsOptions): Promise<{ url: string; server?: NatsServer }> {
  const given = options.environment.LETHE_NATS_URL;
  if (given) return { url: given };
  const server = await startNatsServer({
    binary: findNatsServer(options),
    directory: options.directory,
    flushAlways: options.environment.LETHE_NATS_FLUSH === 'always',
    ...(options.logger ? { logger: options.logger } : {}),
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.storeBytesMax === undefined ? {} : { storeBytesMax: options.storeBytesMax }),
  });
  return { url: server.url, server };
}
