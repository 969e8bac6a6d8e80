/** What a training specification must be before any work starts. Pure. */
import { type learning, parseName } from '@lethe/contracts';
import { checkSpec, type SisaSpec } from '@lethe/unlearning';
import { LEARNING } from '../errors.ts';
import { checkDpSgdSpec } from './dp-sgd-spec.ts';

export type Method = NonNullable<learning.TrainingSpec['method']>;
export interface CheckedSpec {
  readonly root: string;
  readonly method: Method;
}

/** Checkpoints of all segments are held in memory while an ensemble trains, and are stored. */
const CHECKPOINT_BYTES_MAX = 256 * 1024 * 1024;
const HIDDEN_UNITS_MAX = 4_096;

function require(holds: boolean, field: string, expected: string): void {
  if (!holds) throw LEARNING.SPEC_INVALID(`${field} has to be ${expected}`, { details: { field } });
}

const positive = (value: number): boolean => Number.isFinite(value) && value > 0;
const wholeUpTo = (value: number, limit: number): boolean =>
  Number.isInteger(value) && value >= 1 && value <= limit;

/** @throws LETHE-4301, 1101; of the methods' own libraries LETHE-3600 */
export function checkTrainingSpec(spec: learning.TrainingSpec | undefined): CheckedSpec {
  require(spec !== undefined, 'spec', 'given');
  const { root, method } = spec!;
  parseName('datasetRoot', root);
  require(method !== undefined, 'method', 'dp_sgd or sharded_ensemble');
  if (method!.$case === 'dpSgd') checkDpSgdSpec(method!.value);
  else checkEnsemble(method!.value);
  return { root, method: method! };
}

function checkEnsemble(spec: learning.ShardedEnsembleSpec): void {
  checkSpec(sisaSpec(spec));
  require(positive(spec.learningRate), 'learning_rate', 'positive');
  require(wholeUpTo(
    spec.hiddenUnits,
    HIDDEN_UNITS_MAX,
  ), 'hidden_units', `an integer from 1 to ${HIDDEN_UNITS_MAX}`);
  if (spec.audit !== '') parseName('audit', spec.audit);
}

/** @throws LETHE-4301 the checkpoints of so many segments do not fit */
export function checkSize(spec: learning.ShardedEnsembleSpec, features: number, classes: number): void {
  const parameters = (features + 1) * spec.hiddenUnits + (spec.hiddenUnits + 1) * classes;
  require(4 * parameters * spec.shardCount * spec.sliceCount <=
    CHECKPOINT_BYTES_MAX, 'shard_count', `smaller: all checkpoints together have at most ${CHECKPOINT_BYTES_MAX} bytes`);
}

/** The part of an ensemble's specification that sharded training is about. */
export const sisaSpec = ({
  shardCount,
  sliceCount,
  epochs,
  batchSize,
}: learning.ShardedEnsembleSpec): SisaSpec => ({
  shardCount,
  sliceCount,
  epochs,
  batchSize,
});
