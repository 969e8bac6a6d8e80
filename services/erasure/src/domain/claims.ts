/** What owners claim, as the certificate says it. */
import {
  ARTEFACT_KINDS,
  type ArtefactKind,
  CLAIM_NAMES,
  type Claim,
  type ClaimName,
} from '@lethe/certificate';
import { common } from '@lethe/contracts';
import { type Facts, OWNERS } from './facts.ts';

const NAMES: ReadonlyMap<common.Claim, ClaimName> = new Map([
  [common.Claim.CLAIM_ERASED_EXACT, 'ERASED_EXACT'],
  [common.Claim.CLAIM_ERASED_CERTIFIED, 'ERASED_CERTIFIED'],
  [common.Claim.CLAIM_CONTAINED_ONLY, 'CONTAINED_ONLY'],
  [common.Claim.CLAIM_NOT_ERASED, 'NOT_ERASED'],
]);

/** A claim of a kind that this version does not know is never "fine": it counts as the weakest. */
const claimName = (claim: common.Claim): ClaimName => NAMES.get(claim) ?? 'NOT_ERASED';

const artefactKind = (kind: string): ArtefactKind =>
  ARTEFACT_KINDS.find((known) => known === kind) ?? 'OTHER';

/** Short names that the bus uses for owners, and the services' names that readers of a certificate know. */
const ownerName = (owner: string): string => (owner === 'hash' ? 'hashing' : owner);

/** Every claim that has been made, the vault's first. */
export const claimsOf = (facts: Facts): readonly common.ArtefactClaim[] => [
  ...(facts.vault.destroyed?.data.claims ?? []),
  ...OWNERS.flatMap((owner) => facts.owners[owner].erased?.data.claims ?? []),
];

/** What was computed from data sets that hold the person, as named when it was contained. Sorted, distinct. */
export function namedArtefacts(facts: Facts): readonly string[] {
  const named = [
    ...(facts.vault.contained?.data.artefacts ?? []),
    ...OWNERS.flatMap((owner) => facts.owners[owner].contained?.data.artefacts ?? []),
  ];
  return [...new Set(named)].sort();
}

/**
 * An owner says "exact" of bytes that did not change, and why, when it knew nothing of the person in them (the records came after
 * the artefact, for example). Such an artefact has no place in the lineage; the certificate names it, in the owner's words, among
 * what it does not cover.
 */
const isUntouched = (claim: common.ArtefactClaim): boolean =>
  claim.claim === common.Claim.CLAIM_ERASED_EXACT &&
  claim.digestAfter === claim.digestBefore &&
  claim.details.reason !== undefined;

export interface Lineage {
  readonly lineage: readonly string[];
  readonly claims: readonly Claim[];
  /** Artefacts that were named and that nothing was done to, with their owners' reasons. */
  readonly untouched: readonly { readonly artefact: string; readonly reason: string }[];
  /** Artefacts that were named and for which nobody claimed anything. */
  readonly unclaimed: readonly string[];
}

/** @param residual true where bytes of the person were found: the records are then no more than contained */
export function lineageOf(facts: Facts, residual: boolean): Lineage {
  const made = claimsOf(facts);
  const untouched = made
    .filter(isUntouched)
    .map(({ artefact, details }) => ({ artefact, reason: details.reason ?? '' }));
  const claims = made.filter((claim) => !isUntouched(claim)).map((claim) => toClaim(claim, residual));
  const claimed = new Set(made.map((claim) => claim.artefact));
  return {
    lineage: claims.map((claim) => claim.artefact).sort(),
    claims,
    untouched: untouched.sort((a, b) => (a.artefact < b.artefact ? -1 : 1)),
    unclaimed: namedArtefacts(facts).filter((artefact) => !claimed.has(artefact)),
  };
}

function toClaim(made: common.ArtefactClaim, residual: boolean): Claim {
  const stated = claimName(made.claim);
  const kind = artefactKind(made.kind);
  const claim = residual && kind === 'RECORDS' && stated.startsWith('ERASED_') ? 'CONTAINED_ONLY' : stated;
  return {
    artefact: made.artefact,
    kind,
    owner: ownerName(made.owner),
    claim,
    guarantee:
      claim === 'ERASED_CERTIFIED'
        ? {
            epsilon: made.epsilon,
            delta: made.delta,
            unit: made.unit.toUpperCase() === 'RECORD' ? 'RECORD' : 'SUBJECT',
            neighboringRelation: made.details.neighboringRelation ?? 'add-or-remove-one',
          }
        : null,
    digestBefore: made.digestBefore,
    digestAfter: made.digestAfter === '' ? null : made.digestAfter,
    method: made.method,
    details: { ...made.details },
  };
}

/** The weakest of the claims. */
export const overallClaim = (claims: readonly Claim[]): ClaimName =>
  CLAIM_NAMES[Math.max(...claims.map(({ claim }) => CLAIM_NAMES.indexOf(claim)))] ?? 'NOT_ERASED';
