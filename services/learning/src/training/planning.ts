/** The plan of a private run: from what was asked for and public numbers to one document. */
import type { learning } from '@lethe/contracts';
import { fixedFeatures } from '@lethe/datasets';
import { PRIVACY } from '@lethe/privacy';
import { exclusions } from '@lethe/service';
import { hex, LetheError } from '@lethe/std';
import type { LearningContext } from '../context.ts';
import { filledDpSgdSpec, planFields } from '../domain/dp-sgd-spec.ts';
import { LEARNING } from '../errors.ts';
import { accounting } from './accounting.ts';
import { datasetSpec } from './rows.ts';

/**
 * @returns canonical JSON of the plan, its noise calibrated to the epsilon that was asked for
 * @throws LETHE-4301 no noise meets it; LETHE-3307 what no accountant prices; LETHE-2309 features that the dataset has not
 */
export async function planned(
  { deps: { peers } }: LearningContext,
  root: string,
  asked: learning.DpSgdSpec,
): Promise<Uint8Array> {
  const { recordCount } = await peers.vault.getDatasetRoot({ name: root });
  const spec = filledDpSgdSpec(asked, Number(recordCount));
  const canaries = await exclusions(peers, root);
  const fields = planFields(spec, Math.max(1, Number(recordCount) - canaries.size));
  const { name, digest } =
    spec.features === 'none'
      ? { name: '', digest: undefined }
      : fixedFeatures(spec.features, await datasetSpec(peers, root));
  try {
    return await accounting('calibrate', {
      fields: digest ? { ...fields, features: { name, digest: hex(digest) } } : fields,
      epsilon: spec.epsilon,
    });
  } catch (error) {
    if (error instanceof LetheError && error.code === PRIVACY.EPSILON_OUT_OF_REACH.spec.code) {
      throw LEARNING.SPEC_INVALID('epsilon has to be larger: no amount of noise meets it with these steps', {
        details: { field: 'epsilon' },
        cause: error,
      });
    }
    throw error;
  }
}
