/**
 * Where epsilon has a closed form: runs without sampling, which are one Gaussian together, and one sampled step. An upper bound, exact but for the rounding of
 * float64, which is charged to delta.
 *
 * Gaussian of distance mu between the neighbours' means, in standard deviations (Balle, Wang, "Improving the Gaussian Mechanism", arXiv 1805.06530v2, theorem 8):
 *   delta(eps) = Phi(mu / 2 - eps / mu) - e^eps Phi(-mu / 2 - eps / mu).
 * One step that each subject joins with probability q, add-remove: delta_q(log(1 + q (e^eps - 1))) = q delta(eps) (Balle, Barthe, Gaboardi, arXiv 1807.01647v2, theorem 8;
 * reached by the removal of a subject, and adding one costs no more).
 */
import { logNormalCdf } from '../special.ts';
import type { BranchedRun, PrivacyRelation } from './runs.ts';

/** Upper bound, or null where no closed form applies: sampled runs of several steps, a cap that binds, sampling under replace-one. */
export function closedEpsilon(
  runs: readonly BranchedRun[],
  relation: PrivacyRelation,
  delta: number,
): number | null {
  const [run, ...others] = runs;
  const [branch, ...otherBranches] = run?.branches ?? [];
  if (!run || !branch || run.steps !== 1 || others.length + otherBranches.length > 0) return null;
  const { q, sigma } = branch;
  if (q === 1) return gaussianEpsilon((relation === 'replace-one' ? 2 : 1) / sigma, delta);
  if (relation === 'replace-one') return null;
  // The total variation distance is below q.
  if (delta >= q) return 0;
  const whole = gaussianEpsilon(1 / sigma, (delta / q) * (1 - Number.EPSILON));
  const epsilon = whole < 700 ? Math.log1p(q * Math.expm1(whole)) : whole + Math.log(q);
  return epsilon * (1 + 1e-14);
}

/** A mu of this is far beyond every epsilon of meaning, and its square still finite. */
const MU_MAX = 1e6;

function gaussianEpsilon(mu: number, delta: number): number {
  if (!(mu <= MU_MAX)) return Infinity;
  const goal = Math.log(delta);
  if (logDeltaUpper(mu, 0) <= goal) return 0;
  let [low, high] = [0, mu * (1 + mu)];
  while (logDeltaUpper(mu, high) > goal) [low, high] = [high, 2 * high];
  for (let i = 0; i < 200 && high - low > 1e-15 * high; i++) {
    const middle = (low + high) / 2;
    if (logDeltaUpper(mu, middle) > goal) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * log delta(eps), rounded up. The logarithms of both tails are off by less than `error`: arguments of a few roundings, which a tail of argument x multiplies by x, and
 * 3e-14 of the tails themselves; all the rest of delta's rounding is far less.
 */
function logDeltaUpper(mu: number, epsilon: number): number {
  const far = epsilon / mu;
  const above = logNormalCdf(mu / 2 - far);
  const gap = above - (epsilon + logNormalCdf(-mu / 2 - far));
  const error = 1e-12 + 1e-14 * (far + mu) ** 2;
  return above + error + Math.log(-Math.expm1(-Math.max(0, gap)) + error);
}
