/** A process for directory-segments.test.ts to kill: appends and erases in a directory, and says what it has acknowledged. */
import { writeSync } from 'node:fs';
import { hex, seededRandom } from '@lethe/std';
import { CodeIndex } from './code-index.ts';
import { DirectorySegments } from './directory-segments.ts';
import { idIn, madeUpBatch, optionsOf, WIDTHS } from './fixture.ts';
import { sweep } from './sweep.ts';

const [directory = '', seed = ''] = process.argv.slice(2);
const store = await DirectorySegments.open(directory);
const options = optionsOf(store, `salts ${seed}`);
const manifest = await store.loadManifest();
const index = manifest
  ? await CodeIndex.open(manifest, options)
  : CodeIndex.create({ ...options, ...WIDTHS });
if (manifest) await sweep(store, manifest);
writeSync(1, `ready ${index.size}\n`);
for (let round = 0; ; round++) {
  const batch = madeUpBatch(200, seededRandom('round', seed, round));
  const append = await index.append(batch);
  await store.saveManifest(append.manifest);
  writeSync(1, `appended ${hex(batch.ids)}\n`);
  await append.commit();
  const id = idIn(batch, round % 200);
  const erasure = await index.erase([id], BigInt(round));
  await store.saveManifest(erasure.manifest);
  await erasure.commit();
  writeSync(1, `erased ${hex(id)}\n`);
}
