/** What an erasure leaves behind about a function: its claims for the certificate and its needles for the scan. Pure. */
import { common } from '@lethe/contracts';
import type { ErasureProof, LiveEntry, ReencodeProof } from '@lethe/hashing';
import { canonicalJson, hex, sha256, utf8 } from '@lethe/std';

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
 * @param ledgerDetails of the index alone: documents about its ledger
 */
export function claims(
  functionName: string,
  before: VersionDigests,
  after: VersionDigests,
  details: Readonly<Record<string, string | number>>,
  ledgerDetails: Readonly<Record<string, string>> = {},
): common.ArtefactClaim[] {
  const texts = Object.fromEntries(Object.entries(details).map(([key, value]) => [key, String(value)]));
  const sums = { sumsDigestBefore: before.sums, sumsDigestAfter: after.sums };
  return [
    claim(functionName, 'HASH_FUNCTION', 'integer-subtraction', before.weights, after.weights, {
      ...texts,
      ...sums,
    }),
    claim(indexName(functionName), 'HASH_INDEX', 'lane-erasure', before.ledgerRoot, after.ledgerRoot, {
      ...texts,
      ...ledgerDetails,
    }),
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
  readonly kind: 'ledger-salt' | 'feature-row' | 'near-duplicate';
  readonly hex: string;
}

/** The columns of a segment and the rows of a block hold an item's bytes together for at least this long. */
const PIECE_BYTES = 32;
/** A piece with fewer values may lie anywhere: rows of zeros, for example. */
const DISTINCT_MIN = 8;

/**
 * What lies on a disk in one piece wherever the plain state of the function does, and in no state without the persons: the salts of
 * their entries (a column of each segment) and both ends of their rows of features (blocks and samples). Not their codes, which others may
 * have as well and which stand apart from the ids; not the ids, which erased entries keep.
 * @param rows features of the items, as blocks hold them  @param duplicates ids of the rows about their near-duplicates
 */
export const needlesOf = (
  items: readonly Pick<LiveEntry, 'salt'>[],
  rows: readonly Uint8Array[],
  duplicates: readonly Uint8Array[] = [],
): Needle[] => [
  ...duplicates.map((ids): Needle => ({ kind: 'near-duplicate', hex: hex(ids) })),
  ...items.map(({ salt }): Needle => ({ kind: 'ledger-salt', hex: hex(salt) })),
  ...rows
    .flatMap((row) => [row.subarray(0, PIECE_BYTES), row.subarray(Math.max(0, row.length - PIECE_BYTES))])
    .filter(
      (piece, i, all) =>
        new Set(piece).size >= DISTINCT_MIN && (i % 2 === 0 || hex(piece) !== hex(all[i - 1]!)),
    )
    .map((piece): Needle => ({ kind: 'feature-row', hex: hex(piece) })),
];

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

/** The proof that survivors got other codes and nothing else changed: a version of the ledger. */
export const encodeReencodeProof = (
  { size, rootBefore, rootAfter, changed, untouched }: ReencodeProof,
  ledgerVersion: number,
): Uint8Array =>
  utf8(
    canonicalJson({
      format: 'lethe-reencode-proof-v1',
      size,
      rootBefore: hex(rootBefore),
      rootAfter: hex(rootAfter),
      ledgerVersion,
      changed: changed.map(({ index, leafBefore, leafAfter }) => ({
        index,
        leafBefore: hex(leafBefore),
        leafAfter: hex(leafAfter),
      })),
      untouched: untouched.map(hex),
    }),
  );

/** Characters of a document up to which a claim carries it, as the certificate's format says. */
const CARRIED_CHARS = 65_536;
/** Of all documents of an erasure's claims together: they travel in one event. */
const CARRIED_CHARS_TOTAL = 524_288;

const DOCUMENTS: readonly string[] = ['erasureProof', 'reencodeProof'];

/** Details for a proof of the ledger: its digest, and the document itself where it is short enough for a certificate. */
export function proofDetails(
  name: 'erasureProof' | 'reencodeProof',
  document: Uint8Array,
): Readonly<Record<string, string>> {
  const carried = document.length <= CARRIED_CHARS ? { [name]: new TextDecoder().decode(document) } : {};
  return { ...carried, [`${name}Digest`]: hex(sha256(document)) };
}

/** Claims of several functions, without the documents for which there is no room in one event: their digests stay. */
export function withinEvent(all: readonly common.ArtefactClaim[]): common.ArtefactClaim[] {
  let room = CARRIED_CHARS_TOTAL;
  return all.map((claim) => {
    const details = Object.entries(claim.details).filter(([name, text]) => {
      if (!DOCUMENTS.includes(name)) return true;
      if (text.length > room) return false;
      room -= text.length;
      return true;
    });
    return { ...claim, details: Object.fromEntries(details) };
  });
}
