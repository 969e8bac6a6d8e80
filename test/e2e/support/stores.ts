/** What lies on disk once a platform has stopped. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Needle, scan } from '@lethe/store';

/** How many keys have not been overwritten: what a crash left behind under a key of its own shows here. */
export function livingKeys(directory: string): number {
  const store = new DatabaseSync(join(directory, 'vault', 'keys.sqlite'), { readOnly: true });
  try {
    const living = 'select count(*) as living from keys where wrapped <> zeroblob(length(wrapped))';
    return Number(store.prepare(living).get()?.living);
  } finally {
    store.close();
  }
}

/** Occurrences by kind. */
export async function found(
  directories: readonly string[],
  needles: readonly Needle[],
): Promise<Readonly<Record<string, number>>> {
  return (await scan(directories, needles)).found;
}
