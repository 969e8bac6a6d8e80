/** The public report of an audit: what the certificate takes over, and what an auditor needs to check the coins. */
import {
  type ArmUnits,
  type AuditRule,
  evaluate,
  logitMargin,
  roundScores,
  ruleDigest,
  unitsDigest,
} from '@lethe/auditing';
import type { AuditEvidence } from '@lethe/certificate';
import { canonicalJson, hex, parseCanonicalJson, utf8 } from '@lethe/std';

export type Verdict = 'PASS' | 'FAIL' | 'INCONCLUSIVE' | 'REFUSED';

export interface AuditReport {
  readonly format: 'lethe-audit-report-v1';
  readonly audit: string;
  readonly erasure: string;
  readonly dataset: string;
  readonly model: string;
  readonly verdict: Verdict;
  /** Why the audit was refused; empty otherwise. */
  readonly reason: string;
  /** null when the audit was refused. */
  readonly evidence: AuditEvidence | null;
  /** The coin key, revealed, hex; empty when nothing was scored. `checkCoins` takes it with `units` and `dataset`. */
  readonly coinKey: string;
  /** Aliases per arm, in the order of the scores. They belong to nobody; OUT stays out of every training for ever. */
  readonly units: ArmUnits;
}

export interface AuditSubject {
  readonly audit: string;
  readonly erasure: string;
  readonly dataset: string;
  readonly model: string;
}

export interface ScoredAudit extends AuditSubject {
  readonly rule: AuditRule;
  readonly coinKeyHash: string;
  readonly coinKey: Uint8Array;
  readonly units: ArmUnits;
  /** Score of each canary by alias. */
  readonly scores: ReadonlyMap<string, number>;
}

const identity = ({ audit, erasure, dataset, model }: AuditSubject) => ({
  format: 'lethe-audit-report-v1' as const,
  audit,
  erasure,
  dataset,
  model,
});

/** @throws LETHE-1401, LETHE-1402 too few scores in an arm, or one that is not finite */
export function scoredReport(audit: ScoredAudit): AuditReport {
  const { rule, units } = audit;
  const of = (aliases: readonly string[]): number[] =>
    aliases.map((alias) => audit.scores.get(alias) ?? Number.NaN);
  const scores = roundScores({ out: of(units.out), keep: of(units.keep), delete: of(units.delete) });
  const result = evaluate(rule, scores);
  return {
    ...identity(audit),
    verdict: result.verdict,
    reason: '',
    evidence: {
      audit: audit.audit,
      rule,
      ruleDigest: ruleDigest(rule),
      coinKeyHash: audit.coinKeyHash,
      unitsDigest: unitsDigest(units),
      scores,
      result,
    },
    coinKey: hex(audit.coinKey),
    units,
  };
}

/** An audit that could not be carried out says so; it is no pass and no failure. */
export const refusedReport = (audit: AuditSubject, reason: string, units: ArmUnits): AuditReport => ({
  ...identity(audit),
  verdict: 'REFUSED',
  reason,
  evidence: null,
  coinKey: '',
  units,
});

/** Canonical JSON. */
export const encodeReport = (report: AuditReport): Uint8Array => utf8(canonicalJson(report));
export const decodeReport = (bytes: Uint8Array): AuditReport => parseCanonicalJson(bytes) as AuditReport;

/**
 * Membership scores of rows of logits.
 * @param logits [rows, classes], row-major, little-endian float32   @param labels one per row   @throws LETHE-3704
 */
export function marginsOf(logits: Uint8Array, classes: number, labels: readonly number[]): number[] {
  const view = new DataView(logits.buffer, logits.byteOffset, logits.byteLength);
  return labels.map((label, row) => {
    const values = Array.from({ length: classes }, (_, c) => view.getFloat32(4 * (row * classes + c), true));
    return logitMargin(values, label);
  });
}
