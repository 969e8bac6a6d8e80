import type { IndexManifest } from './manifest.ts';
import type { SweepableStore } from './ports.ts';

/**
 * Deletes what the store holds and the manifest does not name: new segments of a change that a crash cut off before its manifest
 * became a fact, or old ones that it cut off after. No change may be open meanwhile. @returns what was deleted
 */
export async function sweep(
  store: SweepableStore,
  manifest: Pick<IndexManifest, 'segments'>,
): Promise<string[]> {
  const named = new Set(manifest.segments.map(({ reference }) => reference));
  const orphans: string[] = [];
  for await (const reference of store.references()) if (!named.has(reference)) orphans.push(reference);
  for (const reference of orphans) await store.delete(reference);
  return orphans;
}
