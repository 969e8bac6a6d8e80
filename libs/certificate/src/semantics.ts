import { verifyAbsence, verifyMembership } from '@lethe/merkle';
import { evaluate, round6, ruleDigest, THREE_ARM_RULE } from '@lethe/statistics';
import { canonicalJson, fromBase64, fromHex, LetheError } from '@lethe/std';
import { type CertificateBody, CLAIM_NAMES, type DatasetEvidence, type NeighbourLeaf } from './body.ts';
import { refuseLedgerProof } from './ledger-proof.ts';
import type { LogStatement } from './log-statement.ts';
import { refusePlan } from './privacy-plan.ts';
import { attestationMessage, requestDigest, verifyEd25519 } from './signing.ts';

/**
 * What a well-formed body must also say: each check looks at one part and names what is wrong with it. The issuer runs them before
 * signing and the verifier after, so nothing can be issued that would be refused.
 */
export interface BodyCheck {
  readonly name: string;
  /** What a reader is told when it has passed. */
  readonly what: string;
  /** Why the body is refused, or undefined. */
  readonly refuse: (body: CertificateBody) => string | undefined;
}

const PARTY_OWNER = 'parties/';

export const LEDGER_CHECK = 'ledger-proof';

/** The statement of that type which fits, e.g. the `dataset-root` with a given root. */
export function findStatement<K extends LogStatement['type']>(
  body: CertificateBody,
  type: K,
  fits: (statement: Extract<LogStatement, { type: K }>) => boolean,
): number {
  return body.statements.findIndex(
    (statement) => statement.type === type && fits(statement as Extract<LogStatement, { type: K }>),
  );
}

/** Index in `statements` of the roots before and after; -1 where it is missing. */
export const rootStatements = (body: CertificateBody, data: DatasetEvidence): readonly [number, number] => [
  findStatement(
    body,
    'dataset-root',
    (s) => s.dataset === data.dataset && s.root === data.rootBefore && s.count === data.countBefore,
  ),
  findStatement(
    body,
    'dataset-root',
    (s) => s.dataset === data.dataset && s.root === data.rootAfter && s.count === data.countAfter,
  ),
];

export const auditStatement = (body: CertificateBody): number =>
  findStatement(
    body,
    'audit-registered',
    (s) =>
      body.audit !== null &&
      s.audit === body.audit.audit &&
      s.coinKeyHash === body.audit.coinKeyHash &&
      s.ruleDigest === body.audit.ruleDigest,
  );

const member = (leaf: NeighbourLeaf) => ({
  value: fromHex(leaf.leaf),
  index: leaf.index,
  proof: leaf.inclusionProof.map(fromHex),
});

function firstOf<T>(items: readonly T[], refuse: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const wrong = refuse(item);
    if (wrong) return wrong;
  }
  return undefined;
}

const hasTwice = (items: readonly string[]): boolean => new Set(items).size !== items.length;

export const BODY_CHECKS: readonly BodyCheck[] = [
  {
    name: 'times',
    what: 'the times follow each other: requested, contained, erased, audited, issued',
    refuse: ({ times, audit }) => {
      if ((times.audited === null) !== (audit === null))
        return 'a time of the audit goes with an audit, and no other way';
      const order = [times.requested, times.contained, times.erased, times.audited, times.issued].filter(
        (time) => time !== null,
      );
      return order.every((time, i) => i === 0 || order[i - 1]! <= time)
        ? undefined
        : 'the times are out of order';
    },
  },
  {
    name: 'lineage',
    what: 'every artefact computed from the person has exactly one claim',
    refuse: ({ lineage, claims }) => {
      if (hasTwice(lineage)) return 'an artefact stands twice in the lineage';
      const ids = claims.map((claim) => claim.artefact);
      if (hasTwice(ids)) return 'an artefact has two claims';
      const missing = lineage.find((id) => !ids.includes(id));
      if (missing !== undefined) return `artefact ${missing} stands in the lineage and has no claim`;
      const foreign = ids.find((id) => !lineage.includes(id));
      return foreign === undefined
        ? undefined
        : `artefact ${foreign} has a claim and stands not in the lineage`;
    },
  },
  {
    name: 'claims',
    what: 'each claim carries what it needs: parameters where certified, changed or destroyed bytes where exact',
    refuse: ({ claims, datasets }) =>
      firstOf(claims, (claim) => {
        if ((claim.claim === 'ERASED_CERTIFIED') !== (claim.guarantee !== null)) {
          return `${claim.artefact}: epsilon and delta go with ERASED_CERTIFIED, and with no other claim`;
        }
        if (claim.claim === 'ERASED_EXACT' && claim.digestAfter === claim.digestBefore) {
          return `${claim.artefact}: an exact erasure left the bytes as they were`;
        }
        const isRoot = datasets.some(
          (data) => data.rootBefore === claim.digestBefore && data.rootAfter === claim.digestAfter,
        );
        return claim.kind === 'RECORDS' && !isRoot
          ? `${claim.artefact}: the digests of RECORDS are the roots of a data set, and are those of none here`
          : undefined;
      }),
  },
  {
    name: 'privacy-plan',
    what: 'plan and charges of each private model hash and chain to what the claim names, and its guarantee is theirs',
    refuse: ({ claims }) => firstOf(claims, refusePlan),
  },
  {
    name: LEDGER_CHECK,
    what: 'each proof of a code ledger that is there gives both roots of its claim: the entries it names were erased, no other changed',
    refuse: ({ claims }) => firstOf(claims, refuseLedgerProof),
  },
  {
    name: 'overall-claim',
    what: 'the overall claim is the weakest of all claims',
    refuse: ({ claims, overall }) => {
      const weakest = CLAIM_NAMES[Math.max(...claims.map((claim) => CLAIM_NAMES.indexOf(claim.claim)))];
      return weakest === overall
        ? undefined
        : `the overall claim says ${overall}, the weakest claim is ${weakest}`;
    },
  },
  {
    name: 'dataset-root',
    what: 'the data sets, before and after, have the roots and counts that stand in the log',
    refuse: (body) => {
      if (hasTwice(body.datasets.map((data) => data.dataset))) return 'a data set stands twice';
      return firstOf(body.datasets, (data) => {
        const [before, after] = rootStatements(body, data);
        if (before < 0) return `${data.dataset}: no logged statement has the root and count from before`;
        return after < 0
          ? `${data.dataset}: no logged statement has the root and count from after`
          : undefined;
      });
    },
  },
  {
    name: 'dataset-inclusion',
    what: "the person's records were in the data sets before",
    refuse: ({ datasets }) =>
      firstOf(datasets, (data) => {
        if (hasTwice(data.removed.map((removed) => removed.leaf)))
          return `${data.dataset}: a removed record stands twice`;
        return firstOf(data.removed, (removed) =>
          verifyMembership(member(removed), data.countBefore, fromHex(data.rootBefore))
            ? undefined
            : `${data.dataset}: record ${removed.leaf} was not in the data set before`,
        );
      }),
  },
  {
    name: 'dataset-absence',
    what: "the person's records are in the data sets no more",
    refuse: ({ datasets }) =>
      firstOf(datasets, (data) =>
        firstOf(data.removed, (removed) => {
          const left = removed.left && member(removed.left);
          const right = removed.right && member(removed.right);
          return verifyAbsence(
            fromHex(removed.leaf),
            { left, right },
            data.countAfter,
            fromHex(data.rootAfter),
          )
            ? undefined
            : `${data.dataset}: it is not shown that record ${removed.leaf} is gone`;
        }),
      ),
  },
  {
    name: 'dataset-counts',
    what: 'the numbers of records add up',
    refuse: ({ datasets }) =>
      firstOf(datasets, (data) =>
        data.countAfter === data.countBefore - data.removed.length - data.removedWithIt + data.added
          ? undefined
          : `${data.dataset}: ${data.countBefore} - ${data.removed.length} - ${data.removedWithIt} + ${data.added} is not ${data.countAfter}`,
      ),
  },
  {
    name: 'key-receipt',
    what: 'the receipt for the destroyed key lies between the request and the certificate',
    refuse: ({ keyReceipt, times }) =>
      keyReceipt === null ||
      (times.requested <= keyReceipt.destroyedAt && keyReceipt.destroyedAt <= times.issued)
        ? undefined
        : 'the key was destroyed before the request or after the certificate',
  },
  {
    name: 'scan',
    what: 'the scanner found every planted copy before and none after, and what it found of the person agrees with the claim',
    refuse: ({ scan, overall }) => {
      if (scan === null) return undefined;
      if (scan.stores.reduce((sum, store) => sum + store.bytesScanned, 0) !== scan.bytesScanned) {
        return 'the bytes scanned per store do not add up to the total';
      }
      if (scan.stores.every((store) => store.planted === 0))
        return 'no copy was planted: the scanner proved nothing';
      const wrong = firstOf(scan.stores, (store) => {
        if (store.plantedFoundBefore !== store.planted) {
          return `${store.store}: the scanner found ${store.plantedFoundBefore} of ${store.planted} planted copies`;
        }
        return store.plantedFoundAfter === 0
          ? undefined
          : `${store.store}: planted copies outlived the erasure`;
      });
      if (wrong) return wrong;
      const residue = scan.needles.find((needle) => needle.found > 0);
      return residue && overall !== 'CONTAINED_ONLY' && overall !== 'NOT_ERASED'
        ? `${residue.found} residues of ${residue.kind} were found, yet the claim is ${overall}`
        : undefined;
    },
  },
  {
    name: 'party-attestation',
    what: 'each party has signed, with the key it joined with, that its part was erased for this request',
    refuse: (body) => {
      const wrong = firstOf(body.parties, ({ attestation, publicKey, signature }) => {
        const { party, federation } = attestation;
        const joined = findStatement(
          body,
          'party-joined',
          (s) => s.party === party && s.federation === federation && s.publicKey === publicKey,
        );
        if (joined < 0) return `${party}: its key is not the one logged when it joined`;
        if (!verifyEd25519(fromBase64(publicKey), attestationMessage(attestation), fromBase64(signature))) {
          return `${party}: the signature does not belong to the attestation`;
        }
        if (attestation.requestDigest !== requestDigest(body.request))
          return `${party}: attested for another request`;
        const claim = body.claims.find((c) => c.artefact === attestation.artefact);
        const agrees =
          claim?.digestBefore === attestation.digestBefore && claim.digestAfter === attestation.digestAfter;
        return agrees
          ? undefined
          : `${party}: its attestation and the claim on ${attestation.artefact} disagree`;
      });
      if (wrong) return wrong;
      const silent = body.claims.find(
        (claim) =>
          claim.owner.startsWith(PARTY_OWNER) &&
          claim.claim !== 'NOT_ERASED' &&
          !body.parties.some(
            ({ attestation }) =>
              attestation.artefact === claim.artefact &&
              attestation.party === claim.owner.slice(PARTY_OWNER.length),
          ),
      );
      return silent && `${silent.owner} has not attested the erasure of ${silent.artefact}`;
    },
  },
  {
    name: 'audit-rule',
    what: "the audit's rule is version 1's, and it and the coin key's hash stand in the log",
    refuse: (body) => {
      if (body.audit === null) return undefined;
      const { rule, ruleDigest: digest } = body.audit;
      if (ruleDigest(rule) !== digest) return 'the digest is not that of the rule';
      if (digest !== ruleDigest(THREE_ARM_RULE))
        return 'the rule has other levels than the three-arm rule, version 1';
      return auditStatement(body) < 0
        ? 'no logged statement registers this rule and this coin key'
        : undefined;
    },
  },
  {
    name: 'audit-result',
    what: "the audit's verdict and figures, recomputed from the canaries' scores, are those stated",
    refuse: ({ audit }) => {
      if (audit === null) return undefined;
      const { scores, result, rule } = audit;
      if (![scores.out, scores.keep, scores.delete].flat().every((score) => round6(score) === score)) {
        return 'a score has more than 6 decimals';
      }
      try {
        return canonicalJson(evaluate(rule, scores)) === canonicalJson(result)
          ? undefined
          : 'the scores give another result than the one stated';
      } catch (error) {
        if (error instanceof LetheError) return error.message;
        throw error;
      }
    },
  },
  {
    name: 'status',
    what: 'the status agrees with the evidence',
    refuse: ({ status, keyReceipt, scan, overall, audit }) => {
      if (status === 'PARTIAL') return undefined;
      if (keyReceipt === null) return 'CERTIFIED without a receipt for the destroyed key';
      if (scan === null) return 'CERTIFIED without a scan';
      if (overall === 'NOT_ERASED') return 'CERTIFIED although an artefact was not erased';
      if (overall === 'CONTAINED_ONLY') return 'CERTIFIED although an artefact was only contained';
      return audit?.result.verdict === 'FAIL' ? 'CERTIFIED although the audit failed' : undefined;
    },
  },
  {
    name: 'scope',
    what: 'it says what it does not cover',
    refuse: ({ outOfScope, limits }) =>
      outOfScope.length > 0 && limits.trim() !== '' ? undefined : 'nothing is said about what is not covered',
  },
  {
    name: 'wording',
    what: 'it claims no legal conformity',
    refuse: (body) =>
      /compliant/iu.test(canonicalJson(body))
        ? 'the word "compliant" occurs: no certificate can say that'
        : undefined,
  },
];
