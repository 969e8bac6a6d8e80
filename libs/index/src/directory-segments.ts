/**
 * Segments as files of a directory, and the manifest beside them.
 *
 *     <SHA-256 of the bytes>.segment     0600, in a directory of 0700
 *     manifest.json                      what the index consists of: to replace it is to commit a change
 *     <random>.partial                   a file being written; what a crash leaves of one is removed by `sweep`
 *
 * A file is written under a partial name, synced, renamed, and the directory is synced: after a kill or a power cut a name has all
 * of its bytes or is not there.
 *
 * Deleting overwrites a file with zeros and syncs it before its name goes. On a file system that writes in place on a magnetic disk
 * the bytes are gone then. It promises less elsewhere, and nobody above the disk can promise more: a copy-on-write or journaling
 * file system may keep the old blocks, a solid-state disk writes to other cells and keeps the old ones until it reuses them, and
 * snapshots and backups keep what they took. Where that matters, seal each segment under a key of its own and destroy the key.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { hex, LetheError, sha256 } from '@lethe/std';
import { INDEX } from './errors.ts';
import { decodeManifest, encodeManifest, type IndexManifest } from './manifest.ts';
import type { SweepableStore } from './ports.ts';

export interface OpenFile extends Pick<fs.FileHandle, 'sync' | 'close'> {
  stat(): Promise<{ readonly size: number }>;
  read(
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    from: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
}

/** What is needed of the file system; a test brings one that fails. */
export interface Files extends Pick<typeof fs, 'rename' | 'unlink'> {
  open(path: string, flags: string, mode?: number): Promise<OpenFile>;
}

const SEGMENT_NAME = /^[0-9a-f]{64}\.segment$/;
const PARTIAL_NAME = /^[0-9a-f-]{36}\.partial$/;
const MANIFEST_NAME = 'manifest.json';
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const ZEROS = new Uint8Array(1024 * 1024);

export class DirectorySegments implements SweepableStore {
  readonly directory: string;
  readonly #files: Files;

  private constructor(directory: string, files: Files) {
    this.directory = directory;
    this.#files = files;
  }

  /** Makes the directory where it is not there. @throws LETHE-2606 */
  static async open(directory: string, files: Files = fs): Promise<DirectorySegments> {
    return await told('make the directory', async () => {
      await fs.mkdir(directory, { recursive: true, mode: 0o700 });
      await fs.chmod(directory, 0o700);
      return new DirectorySegments(directory, files);
    });
  }

  /** @returns the name of the file  @throws LETHE-2605 the disk is full  @throws LETHE-2606; nothing is left of the file then */
  async put(bytes: Uint8Array): Promise<string> {
    const name = `${hex(sha256(bytes))}.segment`;
    await this.#place(name, bytes);
    await told('sync the directory', () => this.#syncDirectory());
    return name;
  }

  /** @throws LETHE-2602, LETHE-2606 */
  async get(reference: string): Promise<Uint8Array> {
    return await told('read a segment', () => this.#read(named(reference)), reference);
  }

  /** Overwrites, syncs and removes the file. @throws LETHE-2606 */
  async delete(reference: string): Promise<void> {
    const path = join(this.directory, named(reference));
    await told('delete a segment', async () => {
      if (!(await this.#overwrite(path))) return;
      await this.#files.unlink(path).catch(ifAbsent);
      await this.#syncDirectory();
    });
  }

  /** Segments and what a crash left of files being written. @throws LETHE-2606 */
  async *references(): AsyncGenerator<string> {
    for (const name of await told('list the directory', () => fs.readdir(this.directory))) {
      if (SEGMENT_NAME.test(name) || PARTIAL_NAME.test(name)) yield name;
    }
  }

  /**
   * Makes a change a fact: when it resolves, the manifest survives a crash.
   * @throws LETHE-2605, LETHE-2606 the earlier one stands: abort the change
   * @throws LETHE-2610 the new one stands unless the power fails now: close the index and open it anew
   */
  async saveManifest(manifest: IndexManifest): Promise<void> {
    await this.#place(MANIFEST_NAME, encodeManifest(manifest));
    try {
      await this.#syncDirectory();
    } catch (cause) {
      throw INDEX.COMMIT_UNKNOWN('the directory of an index was not synced after its manifest changed', {
        details: { code: codeOf(cause) },
        cause,
      });
    }
  }

  /** @returns nothing in a new directory  @throws LETHE-2603, LETHE-2606 */
  async loadManifest(): Promise<IndexManifest | undefined> {
    const bytes = await told('read the manifest', () => this.#read(MANIFEST_NAME).catch(ifAbsent));
    return bytes && decodeManifest(bytes);
  }

  /** With zeros. @returns false where there is no file */
  async #overwrite(path: string): Promise<boolean> {
    const file = await this.#files.open(path, 'r+').catch(ifAbsent);
    if (file === undefined) return false;
    try {
      const { size } = await file.stat();
      for (let at = 0; at < size; at += ZEROS.length) {
        await writeAll(file, ZEROS.subarray(0, Math.min(ZEROS.length, size - at)), at);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    return true;
  }

  async #read(name: string): Promise<Uint8Array> {
    const file = await this.#files.open(join(this.directory, name), 'r');
    try {
      const { size } = await file.stat();
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; ) {
        const { bytesRead } = await file.read(bytes, at, size - at, at);
        if (bytesRead === 0) return bytes.slice(0, at);
        at += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  }

  /** The file has all of its bytes, or is not there. */
  async #place(name: string, bytes: Uint8Array): Promise<void> {
    const partial = join(this.directory, `${randomUUID()}.partial`);
    await told('write a file', async () => {
      try {
        const file = await this.#files.open(partial, 'wx', 0o600);
        try {
          await writeAll(file, bytes, 0);
          await file.sync();
        } finally {
          await file.close();
        }
        await this.#files.rename(partial, join(this.directory, name));
      } catch (error) {
        // Where even this fails, `sweep` finds the name; the first error is the one to tell.
        await this.#overwrite(partial).catch(() => undefined);
        await this.#files.unlink(partial).catch(() => undefined);
        throw error;
      }
    });
  }

  async #syncDirectory(): Promise<void> {
    const directory = await this.#files.open(this.directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** A write may take fewer bytes than it was given, for instance on a disk that becomes full: then the next one fails. */
async function writeAll(file: OpenFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown';

function ifAbsent(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
}

/** References become names of files: nothing that could lead elsewhere is one. @throws LETHE-2602 */
function named(reference: string): string {
  if (SEGMENT_NAME.test(reference) || PARTIAL_NAME.test(reference)) return reference;
  throw INDEX.SEGMENT_MISSING('a reference is none of this directory');
}

/** Turns errors of the file system into coded ones. */
async function told<T>(what: string, work: () => Promise<T>, reference?: string): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof LetheError) throw cause;
    const code = codeOf(cause);
    if (reference !== undefined && code === 'ENOENT') {
      throw INDEX.SEGMENT_MISSING('a segment is not in its directory', { details: { reference }, cause });
    }
    const details = { operation: what, code };
    if (FULL.has(code)) throw INDEX.STORE_FULL(`no room on the disk to ${what}`, { details, cause });
    throw INDEX.STORE_FAILED(`the file system did not ${what}`, { details, cause });
  }
}
