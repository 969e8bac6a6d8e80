/**
 * Files that are computed once from fetched data and kept beside it: rendered pictures, converted models, embeddings. Each has a receipt that
 * names what it was computed from and how, and its SHA-256; a file of another recipe, cut or changed, counts as absent and is computed again.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hex, sha256 } from '@lethe/std';
import { DATA_ROOT, dataDirectory, RECEIPT } from './pinned.ts';

/** All that decides the bytes of a file: versions, sizes, seeds and the digests of its sources. Compared as JSON. */
export type Recipe = Readonly<Record<string, string | number | readonly (string | number)[]>>;

const FOLDER = 'derived';

/** SHA-256 of a fetched data set's receipt, which holds the digest of each of its files. @throws LETHE-2310 not fetched */
export const sourceDigest = (name: string, root = DATA_ROOT): string =>
  hex(sha256(readFileSync(join(dataDirectory(name, root), RECEIPT))));

/** The bytes that this recipe gave before; undefined if they are not there, or not whole. */
export function readDerived(file: string, recipe: Recipe, root = DATA_ROOT): Uint8Array | undefined {
  const path = join(root, FOLDER, file);
  try {
    const bytes = new Uint8Array(readFileSync(path));
    return readFileSync(`${path}.json`, 'utf8') === receipt(recipe, bytes) ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the bytes of a recipe. Each of the two files appears whole; between them, the old receipt refuses the new bytes. */
export function writeDerived(file: string, recipe: Recipe, bytes: Uint8Array, root = DATA_ROOT): Uint8Array {
  mkdirSync(join(root, FOLDER), { recursive: true });
  const path = join(root, FOLDER, file);
  const put = (to: string, content: Uint8Array | string): void => {
    const part = `${to}.${process.pid}.part`;
    writeFileSync(part, content);
    renameSync(part, to);
  };
  put(path, bytes);
  put(`${path}.json`, receipt(recipe, bytes));
  return bytes;
}

const receipt = (recipe: Recipe, bytes: Uint8Array): string =>
  `${JSON.stringify({ recipe, sha256: hex(sha256(bytes)) }, null, 2)}\n`;
