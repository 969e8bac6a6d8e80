export {
  type ArmScores,
  type AuditReason,
  type AuditResult,
  type AuditRule,
  type AuditVerdict,
  evaluate,
  round6,
  roundScores,
  ruleDigest,
  THREE_ARM_RULE,
} from '@lethe/statistics';
export * from './canary.ts';
export * from './coin.ts';
export * from './errors.ts';
export * from './score.ts';
