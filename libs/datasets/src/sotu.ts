/**
 * State of the Union addresses (public domain): a text corpus with authors, for language models that have to forget one author.
 * An author's style goes with his time and party, so members and non-members must be split within an author.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATASETS } from './errors.ts';
import { DATA_ROOT, dataDirectory } from './pinned.ts';

export interface Address {
  /** File name without its ending: year, author and party. Unique. */
  readonly id: string;
  readonly year: number;
  readonly author: string;
  /** As the package gives it; `none` for the first president. */
  readonly party: string;
  readonly text: string;
}

/** All addresses, by id, which is by year. @throws LETHE-2310 not fetched  @throws LETHE-2314 a file is damaged */
export function loadSotu(root = DATA_ROOT): Address[] {
  const directory = join(dataDirectory('sotu', root), 'data');
  return readdirSync(directory)
    .filter((name) => /^\d{4}_.*\.json$/.test(name))
    .sort()
    .map((file) => {
      const value: unknown = JSON.parse(readFileSync(join(directory, file), 'utf8'));
      const { year, name, party, text } = (value ?? {}) as Readonly<Record<string, unknown>>;
      if (
        typeof year !== 'number' ||
        typeof name !== 'string' ||
        typeof party !== 'string' ||
        typeof text !== 'string'
      )
        throw DATASETS.FILE_MALFORMED(`${file} holds no address`);
      return { id: file.slice(0, -'.json'.length), year, author: name, party, text };
    });
}
