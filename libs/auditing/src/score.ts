import { AUDITING } from './errors.ts';

/**
 * The membership score of one record: phi = z_y - log sum_{c != y} exp z_c, the log-odds of the true label (Carlini et al.
 * 2022, "Membership Inference Attacks From First Principles", section 4, written in logits). It is close to normal over records,
 * unlike the probability, and it loses nothing where the probability rounds to 1.
 *
 * @param logits one record's, at least two classes   @throws LETHE-3704
 */
export function logitMargin(logits: ArrayLike<number>, label: number): number {
  if (!Number.isInteger(label) || label < 0 || label >= logits.length || logits.length < 2) {
    throw AUDITING.BAD_LOGITS(`label ${label} is not among ${logits.length} classes`);
  }
  let top = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < logits.length; c++) {
    if (!Number.isFinite(logits[c])) throw AUDITING.BAD_LOGITS(`the logit of class ${c} is not finite`);
    if (c !== label) top = Math.max(top, logits[c]!);
  }
  let sum = 0;
  for (let c = 0; c < logits.length; c++) if (c !== label) sum += Math.exp(logits[c]! - top);
  return logits[label]! - top - Math.log(sum);
}
