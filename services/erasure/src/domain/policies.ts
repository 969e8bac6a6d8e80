/**
 * "May we … yet?" as chains of pure functions: each looks at the whole situation and names what is still missing, the first
 * that finds something decides. Deadlines are not in here but in `decide.ts`.
 */
import type { Saga } from './erasure.ts';
import { CONTAINERS, type Container, type Facts, OWNERS } from './facts.ts';

/** Everything that a decision depends on. */
export interface Situation {
  readonly saga: Saga;
  readonly facts: Facts;
  /** Root of the log, hex, right after the request's statement was appended to it; from then on it never changes. */
  readonly requestRoot: string | undefined;
  /** What the certificate leans on and is not in the log yet. Known once everything is erased. */
  readonly unlogged: readonly string[];
  /** What an owner has committed and nobody can read: it will not get better by waiting. */
  readonly unreadable: readonly string[];
}

export interface Obstacle {
  /** CamelCase word for programs: reason of the resource's condition. */
  readonly reason: string;
  /** Who or what is awaited. */
  readonly missing: readonly string[];
}

export type Policy = (situation: Situation) => Obstacle | undefined;

export function firstObstacle(chain: readonly Policy[], situation: Situation): Obstacle | undefined {
  for (const policy of chain) {
    const obstacle = policy(situation);
    if (obstacle) return obstacle;
  }
  return undefined;
}

const unless = (reason: string, missing: readonly string[]): Obstacle | undefined =>
  missing.length > 0 ? { reason, missing } : undefined;

export function hasContained(facts: Facts, container: Container): boolean {
  if (container === 'vault') return facts.vault.contained !== undefined;
  if (container === 'audit') return facts.auditPart.contained !== undefined;
  return facts.owners[container].contained !== undefined;
}

const everyoneHasContained: Policy = ({ facts }) =>
  unless(
    'OwnersNotContained',
    CONTAINERS.filter((container) => !hasContained(facts, container)),
  );

/** Seeds may only come from randomness that was fixed after the request. */
const requestIsLogged: Policy = ({ requestRoot }) =>
  unless('RequestNotLogged', requestRoot === undefined ? ['the statement of the request in the log'] : []);

const ownersHaveErased: Policy = ({ saga, facts }) =>
  unless(
    'OwnersNotConfirmed',
    OWNERS.filter(
      (owner) => saga.started?.data.owners.includes(owner) && facts.owners[owner].erased === undefined,
    ),
  );

const keysAreDestroyed: Policy = ({ facts }) =>
  unless('KeysNotDestroyed', facts.vault.destroyed === undefined ? ['vault'] : []);

const auditIsDone: Policy = ({ saga, facts }) =>
  unless(
    'AuditNotCompleted',
    saga.erased?.data.audit && facts.audit.completed === undefined ? ['audit'] : [],
  );

const evidenceIsLogged: Policy = ({ unlogged }) => unless('EvidenceNotLogged', unlogged);

export const MAY_CONTAIN: readonly Policy[] = [everyoneHasContained];
export const MAY_START: readonly Policy[] = [requestIsLogged];
export const MAY_CONFIRM: readonly Policy[] = [ownersHaveErased];
/** Owners again: one that missed the first deadline must have come by now. */
export const MAY_CALL_ERASED: readonly Policy[] = [keysAreDestroyed, ownersHaveErased];
export const MAY_CERTIFY: readonly Policy[] = [auditIsDone, evidenceIsLogged];
