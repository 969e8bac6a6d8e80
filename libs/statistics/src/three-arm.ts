import { canonicalDigest } from '@lethe/std';
import { delongAuc, delongCovariance, delongInterval, nullAucSe } from './auc.ts';
import { STATISTICS } from './errors.ts';
import { contrastVariance, fiellerUpper } from './fieller.ts';
import { normalCdf, normalQuantile, normalSf } from './normal.ts';

/**
 * The three-arm erasure audit: was what a model remembers of DELETE taken out, judged against units that it never saw (OUT)
 * and units that it still holds (KEEP), all three drawn by one committed coin?
 *
 * It stands in `statistics` because two parts run it and may not differ: the audit that writes a result, and the verifier
 * that recomputes it from the scores without importing any auditing code.
 */
export interface ArmScores {
  readonly out: readonly number[];
  readonly keep: readonly number[];
  readonly delete: readonly number[];
}

/** Everything that is fixed before the coins are revealed. Its canonical digest is logged. */
export interface AuditRule {
  readonly rule: 'three-arm';
  readonly version: 1;
  /** phi = z_y - log sum_{c != y} exp z_c of the audited model's logits. */
  readonly score: 'LOGIT_MARGIN';
  /** One-sided level at which KEEP must differ from OUT: the positive control. */
  readonly controlAlpha: number;
  /** Two-sided level at which DELETE differing from OUT is a failure; below 1/2 (over-forgetting) leaks too. */
  readonly leakAlpha: number;
  /** Level of the reported intervals, and of the one that must lie within `equivalence`. */
  readonly intervalLevel: number;
  readonly equivalence: readonly [number, number];
  /** One-sided level of the upper limit of (DELETE - 1/2) / (KEEP - 1/2). */
  readonly ratioLevel: number;
  readonly ratioLimit: number;
  /** The share of KEEP's effect for which `power` is stated. */
  readonly powerFraction: number;
}

export const THREE_ARM_RULE: AuditRule = Object.freeze({
  rule: 'three-arm',
  version: 1,
  score: 'LOGIT_MARGIN',
  controlAlpha: 0.01,
  leakAlpha: 0.01,
  intervalLevel: 0.9,
  equivalence: Object.freeze([0.45, 0.55] as const),
  ratioLevel: 0.95,
  ratioLimit: 0.25,
  powerFraction: 0.25,
});

export type AuditVerdict = 'PASS' | 'FAIL' | 'INCONCLUSIVE';

export const AUDIT_REASONS = [
  'CONTROL_NOT_SIGNIFICANT',
  'DELETE_DIFFERS_FROM_OUT',
  'INTERVAL_NOT_WITHIN_EQUIVALENCE',
  'RATIO_LIMIT_EXCEEDED',
  'ALL_CONDITIONS_HOLD',
] as const;
export type AuditReason = (typeof AUDIT_REASONS)[number];

/** All numbers are rounded to 6 decimals (`round6`); the verdict is taken from the unrounded ones. */
export interface AuditResult {
  readonly verdict: AuditVerdict;
  /** Why: the conditions that decided, in the order of the rule. */
  readonly reasons: readonly AuditReason[];
  readonly counts: { readonly out: number; readonly keep: number; readonly delete: number };
  readonly keepAuc: number;
  readonly keepInterval: readonly [number, number];
  /** One-sided. */
  readonly keepPValue: number;
  readonly deleteAuc: number;
  readonly deleteInterval: readonly [number, number];
  /** Two-sided. */
  readonly deletePValue: number;
  /** (DELETE - 1/2) / (KEEP - 1/2), the remaining share of the memory; null where KEEP's effect is not positive. */
  readonly ratio: number | null;
  /** Fieller's upper limit of `ratio`; null where none exists. */
  readonly ratioUpper: number | null;
  /** Probability of a verdict other than PASS, had `powerFraction` of KEEP's effect remained. */
  readonly power: number;
  /** Probability of PASS, had nothing of the effect remained: what an exact erasure may hope for with these sizes. */
  readonly passIfErased: number;
}

/** floor(x 10^6 + 1/2) / 10^6: how scores and results are rounded. Never -0. */
export const round6 = (x: number): number => Math.floor(x * 1e6 + 0.5) / 1e6 + 0;

/** Scores as they are evaluated, stored and sent. */
export const roundScores = (scores: ArmScores): ArmScores => ({
  out: scores.out.map(round6),
  keep: scores.keep.map(round6),
  delete: scores.delete.map(round6),
});

/** SHA-256 of the canonical rule, hex. */
export const ruleDigest = (rule: AuditRule): string => canonicalDigest(rule);

const isOpenUnit = (value: number): boolean => value > 0 && value < 1;

/** @throws LETHE-1403 for a rule whose numbers contradict each other */
export function checkRule(rule: AuditRule): void {
  const [low, high] = rule.equivalence;
  const sound =
    rule.rule === 'three-arm' &&
    rule.version === 1 &&
    [rule.controlAlpha, rule.leakAlpha, rule.intervalLevel, rule.ratioLevel].every(isOpenUnit) &&
    [rule.ratioLimit, rule.powerFraction].every(isOpenUnit) &&
    0 <= low &&
    low < 0.5 &&
    0.5 < high &&
    high <= 1;
  if (!sound) throw STATISTICS.BAD_RULE('the audit rule is none that this version can evaluate');
}

/**
 * Evaluates a registered rule. Deterministic: the same scores in any order within an arm give the same result but for
 * the last bits of sums, which the rounding removes.
 *
 * 1. INCONCLUSIVE unless KEEP against OUT has one-sided p < controlAlpha: an audit that sees nothing proves nothing.
 * 2. FAIL if DELETE against OUT has two-sided p < leakAlpha. Both p-values use the Mann-Whitney null error.
 * 3. PASS if DeLong's interval of the DELETE AUC lies within `equivalence` and Fieller's upper limit of the ratio is at most
 *    `ratioLimit`; otherwise INCONCLUSIVE.
 *
 * `power` and `passIfErased` are normal approximations: KEEP's AUC and all standard errors are held at the observed values, and
 * DELETE's AUC, less r (KEEP's AUC - 1/2), is normal around 1/2 + (true share - r) (KEEP's AUC - 1/2). The PASS conditions are an
 * interval for it; the result is that interval's probability (or 1 less it).
 *
 * @throws LETHE-1401 fewer than two scores in an arm   @throws LETHE-1402 a score is not finite   @throws LETHE-1403
 */
export function evaluate(rule: AuditRule, scores: ArmScores): AuditResult {
  checkRule(rule);
  const counts = { out: scores.out.length, keep: scores.keep.length, delete: scores.delete.length };
  const keep = delongAuc(scores.keep, scores.out);
  const gone = delongAuc(scores.delete, scores.out);
  const keepEffect = keep.auc - 0.5;
  const goneEffect = gone.auc - 0.5;
  const goneNullSe = nullAucSe(counts.delete, counts.out);

  const keepP = normalSf(keepEffect / nullAucSe(counts.keep, counts.out));
  const goneP = 2 * normalSf(Math.abs(goneEffect) / goneNullSe);
  const goneInterval = delongInterval(gone, rule.intervalLevel);
  const ratioInput = {
    numerator: goneEffect,
    denominator: keepEffect,
    numeratorVariance: gone.variance,
    denominatorVariance: keep.variance,
    covariance: delongCovariance(keep, gone),
  };
  const ratioZ = normalQuantile(rule.ratioLevel);
  const ratioUpper = fiellerUpper(ratioInput, ratioZ);

  const [low, high] = rule.equivalence;
  const reasons: AuditReason[] = [];
  let verdict: AuditVerdict = 'INCONCLUSIVE';
  if (!(keepP < rule.controlAlpha)) {
    reasons.push('CONTROL_NOT_SIGNIFICANT');
  } else if (goneP < rule.leakAlpha) {
    verdict = 'FAIL';
    reasons.push('DELETE_DIFFERS_FROM_OUT');
  } else {
    if (goneInterval[0] < low || goneInterval[1] > high) reasons.push('INTERVAL_NOT_WITHIN_EQUIVALENCE');
    if (ratioUpper === null || ratioUpper > rule.ratioLimit) reasons.push('RATIO_LIMIT_EXCEEDED');
    if (reasons.length === 0) {
      verdict = 'PASS';
      reasons.push('ALL_CONDITIONS_HOLD');
    }
  }

  // The PASS conditions as bounds on DELETE's effect.
  const controlled = keepP < rule.controlAlpha && ratioUpper !== null;
  const leakReach = normalQuantile(1 - rule.leakAlpha / 2) * goneNullSe;
  const intervalReach = normalQuantile((1 + rule.intervalLevel) / 2) * Math.sqrt(gone.variance);
  const contrastSe = Math.sqrt(contrastVariance(ratioInput, rule.ratioLimit));
  const upper = Math.min(
    leakReach,
    high - 0.5 - intervalReach,
    rule.ratioLimit * keepEffect - ratioZ * contrastSe,
  );
  const lower = Math.max(-leakReach, low - 0.5 + intervalReach);
  const passIf = (share: number): number => {
    if (!controlled || upper <= lower) return 0;
    const se = Math.sqrt(contrastVariance(ratioInput, share));
    if (se === 0) return lower <= share * keepEffect && share * keepEffect <= upper ? 1 : 0;
    return normalCdf((upper - share * keepEffect) / se) - normalCdf((lower - share * keepEffect) / se);
  };

  return {
    verdict,
    reasons,
    counts,
    keepAuc: round6(keep.auc),
    keepInterval: roundPair(delongInterval(keep, rule.intervalLevel)),
    keepPValue: round6(keepP),
    deleteAuc: round6(gone.auc),
    deleteInterval: roundPair(goneInterval),
    deletePValue: round6(goneP),
    ratio: keepEffect > 0 ? round6(goneEffect / keepEffect) : null,
    ratioUpper: ratioUpper === null ? null : round6(ratioUpper),
    power: round6(1 - passIf(rule.powerFraction)),
    passIfErased: round6(passIf(0)),
  };
}

const roundPair = (pair: readonly [number, number]): readonly [number, number] => [
  round6(pair[0]),
  round6(pair[1]),
];
