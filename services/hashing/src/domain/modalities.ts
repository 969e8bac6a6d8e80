/** Whether a function of these modalities can learn from a dataset: seen before anything is learned. Pure. */
import type { hashing } from '@lethe/contracts';
import { type DatasetSpec, fieldGroup } from '@lethe/datasets';
import { HASHING_SERVICE } from '../errors.ts';

/** An index keeps a modality in one byte; a function trains each on its own. */
export const MODALITIES_MAX = 16;
const NAME = /^[a-z][a-z0-9-]{0,62}$/;

/**
 * @param modalities empty for one of all fields, which a dataset with optional fields must not leave to chance: a record that lacks one
 * would be left out without a word
 * @throws LETHE-4207 naming the modality, LETHE-2315 a field that the dataset does not declare or that is named twice
 */
export function checkModalities(modalities: readonly hashing.Modality[], dataset: DatasetSpec): void {
  if (modalities.length === 0 && dataset.fields.some((field) => field.optional))
    throw refused('must be named: the dataset has fields that a record may lack');
  if (modalities.length > MODALITIES_MAX) throw refused(`must be at most ${MODALITIES_MAX}`);
  const owner = new Map<string, string>();
  const names = new Set<string>();
  for (const { name, fields } of modalities) {
    if (!NAME.test(name)) throw refused(`has a name that does not match ${NAME.source}`);
    if (names.has(name)) throw refused(`names ${name} twice`);
    names.add(name);
    fieldGroup(dataset, fields);
    for (const field of fields) {
      if (owner.has(field)) throw refused(`gives field ${field} to ${owner.get(field)} and to ${name}`);
      owner.set(field, name);
    }
  }
}

const refused = (why: string) =>
  HASHING_SERVICE.REQUEST_INVALID(`spec.modalities ${why}`, { details: { field: 'spec.modalities' } });
