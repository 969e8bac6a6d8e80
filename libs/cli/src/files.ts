import { readFileSync, writeFileSync } from 'node:fs';
import { CLI } from './errors.ts';

const reason = (cause: unknown): string =>
  cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';

/** @throws LETHE-5014 */
export function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw CLI.FILE_UNREADABLE(`${path} cannot be read (${reason(cause)})`, { cause });
  }
}

/** @throws LETHE-5014 also for a file that is not UTF-8 */
export function readText(path: string): string {
  const bytes = readFile(path);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw CLI.FILE_UNREADABLE(`${path} is not text in UTF-8`, { cause });
  }
}

/** Never overwrites: what stands there may be the only copy of an earlier certificate. @throws LETHE-5015 */
export function writeNewFile(path: string, content: Uint8Array): void {
  try {
    writeFileSync(path, content, { flag: 'wx' });
  } catch (cause) {
    throw CLI.FILE_UNWRITABLE(`${path} cannot be written (${reason(cause)})`, { cause });
  }
}
