/** What an erasure leaves behind about a function: its claims for the certificate and its needles for the scan. Pure. */
import { common } from '@lethe/contracts';
import type { ErasureProof, LiveEntry } from '@lethe/hashing';
import { canonicalJson, concatBytes, hex, utf8 } from '@lethe/std';

export const indexName = (functionName: string): string => `${functionName}/index`;

/** Digests of a version, hex. */
export interface VersionDigests {
  readonly weights: string;
  readonly sums: string;
  readonly ledgerRoot: string;
}

/**
 * One claim for the function and one for its index.
 * The function is exact by construction: its sums and weights equal those that never had the items, and another process can
 * check it. The index is exact for the erased persons' entries; survivors keep the codes that they have, and `churn` says how
 * many of them the persons' absence would have given another.
 */
export function claims(
  functionName: string,
  before: VersionDigests,
  after: VersionDigests,
  details: Readonly<Record<string, string | number>>,
): common.ArtefactClaim[] {
  const texts = Object.fromEntries(Object.entries(details).map(([key, value]) => [key, String(value)]));
  const sums = { sumsDigestBefore: before.sums, sumsDigestAfter: after.sums };
  return [
    claim(functionName, 'HASH_FUNCTION', 'integer-subtraction', before.weights, after.weights, {
      ...texts,
      ...sums,
    }),
    claim(indexName(functionName), 'HASH_INDEX', 'lane-erasure', before.ledgerRoot, after.ledgerRoot, texts),
  ];
}

function claim(
  artefact: string,
  kind: string,
  method: string,
  digestBefore: string,
  digestAfter: string,
  details: { [key: string]: string },
): common.ArtefactClaim {
  return {
    artefact,
    kind,
    owner: 'hash',
    claim: common.Claim.CLAIM_ERASED_EXACT,
    epsilon: 0,
    delta: 0,
    unit: '',
    digestBefore,
    digestAfter,
    method,
    details,
  };
}

export interface Needle {
  readonly kind: 'item-id' | 'ledger-salt' | 'code-lane';
  readonly hex: string;
}

/** What would be found if the plain state of the function were on a disk; a lane is item id and code as they lie there. */
export const needlesOf = (items: readonly Pick<LiveEntry, 'itemId' | 'code' | 'salt'>[]): Needle[] =>
  items.flatMap((item) => [
    { kind: 'item-id', hex: hex(item.itemId) },
    { kind: 'ledger-salt', hex: hex(item.salt) },
    { kind: 'code-lane', hex: hex(concatBytes(item.itemId, item.code)) },
  ]);

export const encodeNeedles = (needles: readonly Needle[]): Uint8Array =>
  utf8(canonicalJson({ needles: needles.map((needle) => ({ ...needle })) }));

export function decodeNeedles(bytes: Uint8Array): Needle[] {
  const { needles } = JSON.parse(new TextDecoder().decode(bytes)) as { needles: Needle[] };
  return needles;
}

/**
 * The proof that an erasure changed exactly the erased leaves, as canonical JSON with bytes in hex: an auditor reads it back and
 * holds it against the two roots of the claim with `verifyErasureProof` of `@lethe/hashing`.
 */
export const encodeErasureProof = ({
  size,
  rootBefore,
  rootAfter,
  seq,
  erased,
  untouched,
}: ErasureProof): Uint8Array =>
  utf8(
    canonicalJson({
      format: 'lethe-erasure-proof-v1',
      size,
      rootBefore: hex(rootBefore),
      rootAfter: hex(rootAfter),
      seq: String(seq),
      erased: erased.map(({ index, itemId, leafBefore }) => ({
        index,
        itemId: hex(itemId),
        leafBefore: hex(leafBefore),
      })),
      untouched: untouched.map(hex),
    }),
  );
