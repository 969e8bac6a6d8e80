/**
 * The proof that an erasure turned exactly the named entries of a code ledger into erased ones, as a claim's details carry it: recomputed here from FORMAT.md
 * alone, leaf encoding included. This library does not import the one that keeps ledgers: a checker that shared its code would share its mistakes.
 */
import { leafHash, verifyInclusion, verifyLeafChanges } from '@lethe/merkle';
import { concatBytes, fromHex, hex, LetheError, parseCanonicalJson, sha256, utf8 } from '@lethe/std';
import type { CertificateBody, Claim, Hex32 } from './body.ts';
import { list, number, one, record, type Shape, text } from './shape.ts';

/** Characters of a proof up to which an issuer carries it in the claim; above, the claim has the digest alone and the owner keeps the proof. */
export const CARRIED_PROOF_CHARS = 65_536;

/** `itemId`: 32 hex digits, `seq`: decimal. Other hex fields are 32 bytes. */
export interface LedgerErasureProof {
  readonly format: 'lethe-erasure-proof-v1';
  /** Leaves, before as after. */
  readonly size: number;
  readonly rootBefore: Hex32;
  readonly rootAfter: Hex32;
  readonly seq: string;
  /** By ascending index. */
  readonly erased: readonly { readonly index: number; readonly itemId: string; readonly leafBefore: Hex32 }[];
  /** Roots of the maximal subtrees without a named leaf, left to right. */
  readonly untouched: readonly Hex32[];
}

/** Other codes for survivors: a new version of the ledger. */
export interface LedgerReencodeProof {
  readonly format: 'lethe-reencode-proof-v1';
  readonly size: number;
  readonly rootBefore: Hex32;
  readonly rootAfter: Hex32;
  /** The version of the ledger that `rootAfter` is of. */
  readonly ledgerVersion: number;
  /** By ascending index. */
  readonly changed: readonly {
    readonly index: number;
    readonly leafBefore: Hex32;
    readonly leafAfter: Hex32;
  }[];
  readonly untouched: readonly Hex32[];
}

/** What a service answers who is asked for the proof of one leaf; bytes in hex. */
export interface LedgerInclusion {
  readonly leafIndex: number;
  readonly leafHash: Hex32;
  readonly ledgerSize: number;
  readonly ledgerRoot: Hex32;
  /** Siblings from the leaf upwards. */
  readonly path: readonly Hex32[];
}

const hex32 = text(/^[0-9a-f]{64}$/u, 'must be 64 lower-case hex digits');
const count = number((value) => Number.isSafeInteger(value) && value >= 0, 'must be a count');

const erasureShape: Shape<LedgerErasureProof> = record<LedgerErasureProof>({
  format: one('lethe-erasure-proof-v1'),
  size: count,
  rootBefore: hex32,
  rootAfter: hex32,
  seq: text(/^(0|[1-9][0-9]{0,19})$/u, 'must be a decimal number'),
  erased: list(
    record<LedgerErasureProof['erased'][number]>({
      index: count,
      itemId: text(/^[0-9a-f]{32}$/u, 'must be 32 lower-case hex digits'),
      leafBefore: hex32,
    }),
    1,
  ),
  untouched: list(hex32),
});

const reencodeShape: Shape<LedgerReencodeProof> = record<LedgerReencodeProof>({
  format: one('lethe-reencode-proof-v1'),
  size: count,
  rootBefore: hex32,
  rootAfter: hex32,
  ledgerVersion: count,
  changed: list(
    record<LedgerReencodeProof['changed'][number]>({ index: count, leafBefore: hex32, leafAfter: hex32 }),
    1,
  ),
  untouched: list(hex32),
});

const inclusionShape: Shape<LedgerInclusion> = record<LedgerInclusion>({
  leafIndex: count,
  leafHash: hex32,
  ledgerSize: count,
  ledgerRoot: hex32,
  path: list(hex32),
});

/** Which detail holds a document, and which its digest. */
const DOCUMENTS = [
  { carried: 'erasureProof', digest: 'erasureProofDigest', what: 'ledger proof' },
  { carried: 'reencodeProof', digest: 'reencodeProofDigest', what: 'ledger proof of the re-encoding' },
] as const;

const digestOf = (document: string): Hex32 => hex(sha256(document));

/** A refusal inside this file, in words. */
class Wrong extends Error {}

function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Wrong(otherwise);
}

function canonical(document: string): unknown {
  try {
    return parseCanonicalJson(utf8(document));
  } catch (error) {
    if (error instanceof LetheError) return undefined;
    throw error;
  }
}

/** The document of a detail, or undefined where the claim does not carry it. */
function documentOf<T>(
  { details }: Claim,
  { carried, digest, what }: (typeof DOCUMENTS)[number],
  shape: Shape<T>,
): T | undefined {
  const document = details[carried];
  const stated = details[digest];
  if (stated !== undefined) demand(hex32(stated, '') === undefined, `the detail ${digest} is no digest`);
  if (document === undefined) return undefined;
  demand(typeof document === 'string', `the detail ${carried} is no text`);
  demand(digestOf(document) === stated, `the ${what} has another digest than ${digest}`);
  const value = canonical(document);
  demand(value !== undefined, `the ${what} is no canonical JSON`);
  const departure = shape(value, carried);
  demand(departure === undefined, departure ?? '');
  return value as T;
}

interface Changes {
  readonly size: number;
  readonly rootBefore: Hex32;
  readonly rootAfter: Hex32;
  readonly changed: readonly {
    readonly index: number;
    readonly before: Uint8Array;
    readonly after: Uint8Array;
  }[];
  readonly untouched: readonly Hex32[];
}

function demandChanges(what: string, proof: Changes): void {
  const { size, changed } = proof;
  changed.forEach(({ index, before, after }, i) => {
    demand(index < size, `the ${what} names leaf ${index} of ${size}`);
    demand(i === 0 || index > changed[i - 1]!.index, `the ${what} does not name its leaves in order`);
    demand(hex(before) !== hex(after), `the ${what} names leaf ${index}, which did not change`);
  });
  const untouched = proof.untouched.map(fromHex);
  const rootBefore = fromHex(proof.rootBefore);
  const same = changed.map(({ index, before }) => ({ index, before, after: before }));
  demand(
    verifyLeafChanges({ size, rootBefore, rootAfter: rootBefore, changed: same, untouched }),
    `the ${what} does not give the root before`,
  );
  demand(
    verifyLeafChanges({ size, rootBefore, rootAfter: fromHex(proof.rootAfter), changed, untouched }),
    `the ${what} does not give the root after: other leaves changed, or they became something else`,
  );
}

const U64 = 2n ** 64n;

/** SHA256(0x00 | 0x01 | itemId[16] | seq u64 little-endian), the first byte being RFC 6962's. */
function erasedLeaf(itemId: string, seq: bigint): Uint8Array {
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, seq, true);
  return leafHash(concatBytes(Uint8Array.of(1), fromHex(itemId), number));
}

/** The count that a detail states: a number, or a decimal text of one. */
function stated({ details }: Claim, name: string): number {
  const value = details[name];
  demand(
    value !== undefined && /^(0|[1-9][0-9]{0,15})$/u.test(String(value)),
    `the detail ${name} is missing or no count`,
  );
  return Number(value);
}

function demandCount(claim: Claim, name: string, counted: number): void {
  const value = stated(claim, name);
  demand(value === counted, `the detail ${name} says ${value}, the ledger proof ${counted}`);
}

function demandErasure(claim: Claim, proof: LedgerErasureProof, rootAfter: unknown): void {
  const { size, erased } = proof;
  const seq = BigInt(proof.seq);
  demand(seq < U64, 'the number of the erasure in the ledger proof has more than 64 bits');
  demand(
    proof.rootBefore === claim.digestBefore,
    'the ledger proof starts from another root than digestBefore',
  );
  demand(proof.rootAfter === rootAfter, 'the ledger proof ends at another root than the claim');
  demand(
    new Set(erased.map(({ itemId }) => itemId)).size === erased.length,
    'the ledger proof names an item twice',
  );
  demandChanges('ledger proof', {
    ...proof,
    changed: erased.map(({ index, itemId, leafBefore }) => ({
      index,
      before: fromHex(leafBefore),
      after: erasedLeaf(itemId, seq),
    })),
  });
  demandCount(claim, 'erasedItems', erased.length);
  demandCount(claim, 'erasedLeaves', erased.length);
  demandCount(claim, 'ledgerSize', size);
  demand(stated(claim, 'survivors') + erased.length <= size, 'more survivors than the ledger has leaves');
  demand(
    seq === BigInt(stated(claim, 'versionBefore')) + 1n,
    'the erasure has another number than the version after versionBefore',
  );
}

function demandReencoding(claim: Claim, proof: LedgerReencodeProof): void {
  const what = DOCUMENTS[1].what;
  const { details, digestAfter } = claim;
  demand(
    proof.rootBefore === details.ledgerRootErased,
    `the ${what} starts from another root than ledgerRootErased`,
  );
  demand(proof.rootAfter === digestAfter, `the ${what} ends at another root than digestAfter`);
  demandChanges(what, {
    ...proof,
    changed: proof.changed.map(({ index, leafBefore, leafAfter }) => ({
      index,
      before: fromHex(leafBefore),
      after: fromHex(leafAfter),
    })),
  });
  demandCount(claim, 'reencodedCodes', proof.changed.length);
  demandCount(claim, 'ledgerSize', proof.size);
  demandCount(claim, 'ledgerVersion', proof.ledgerVersion);
}

/** With the erasure's proof there. */
function demandPolicy(
  claim: Claim,
  erasure: LedgerErasureProof,
  reencoding: LedgerReencodeProof | undefined,
): void {
  const { details } = claim;
  if (reencoding) {
    const erased = new Set(erasure.erased.map(({ index }) => index));
    const again = reencoding.changed.find(({ index }) => erased.has(index));
    demand(again === undefined, `the re-encoding gives the erased leaf ${again?.index} a code again`);
  }
  const { survivorCodes: policy, reencodeProofDigest } = details;
  if (policy === 'KEEP') {
    const other = ['reencodedCodes', 'reencodeProof', 'reencodeProofDigest', 'ledgerRootErased'].find(
      (name) => Object.hasOwn(details, name),
    );
    demand(other === undefined, `codes of survivors were kept, yet there is the detail ${other}`);
    return;
  }
  demand(
    policy === 'REENCODE_CHANGED' || policy === 'RETIRE',
    'the detail survivorCodes is none of KEEP, REENCODE_CHANGED, RETIRE',
  );
  demand(
    hex32(details.ledgerRootErased, '') === undefined,
    'the detail ledgerRootErased is missing or no digest',
  );
  demand(details.ledgerRootAfter === claim.digestAfter, 'the detail ledgerRootAfter is not digestAfter');
  const reencoded = stated(claim, 'reencodedCodes');
  demand(
    reencoded === 0 || claim.digestAfter !== details.ledgerRootErased,
    'codes were stored anew, yet the root is the one before',
  );
  if (reencodeProofDigest === undefined) return;
  demand(reencoded > 0, 'no code was stored anew, yet there is a proof of it');
  if (policy === 'RETIRE')
    demand(reencoded === stated(claim, 'survivors'), 'not every survivor got a code anew');
  else if (details.churnMethod === 'counted')
    demand(
      reencoded === stated(claim, 'storedCodesThatDiffer'),
      'storedCodesThatDiffer is not how many codes were stored anew',
    );
}

const CLAIM_KIND = 'HASH_INDEX';

/** Why the claim's ledger proofs do not hold, or undefined; undefined as well for a claim that carries none. */
export function refuseLedgerProof(claim: Claim): string | undefined {
  if (claim.kind !== CLAIM_KIND) return undefined;
  const { details } = claim;
  try {
    const erasure = documentOf(claim, DOCUMENTS[0], erasureShape);
    const reencoding = documentOf(claim, DOCUMENTS[1], reencodeShape);
    if (erasure) demandErasure(claim, erasure, details.ledgerRootErased ?? claim.digestAfter);
    if (reencoding) demandReencoding(claim, reencoding);
    if (erasure) demandPolicy(claim, erasure, reencoding);
    return undefined;
  } catch (error) {
    if (error instanceof Wrong) return `${claim.artefact}: ${error.message}`;
    throw error;
  }
}

/** What of the claims' ledger proofs is not in the certificate and was therefore not checked, in words. */
export function uncheckedLedgers({ claims }: CertificateBody): string[] {
  return claims.flatMap((claim) => {
    const { kind, artefact, details } = claim;
    if (kind !== CLAIM_KIND || claim.claim === 'NOT_ERASED') return [];
    const { ledgerRootErased: erased } = details;
    const isReencoded = erased !== undefined && erased !== claim.digestAfter;
    return DOCUMENTS.flatMap(({ carried, digest, what }, i) => {
      if (details[carried] !== undefined || (i === 1 && !isReencoded)) return [];
      return details[digest] === undefined
        ? [`${artefact}: ${what}: not carried.`]
        : [
            `${artefact}: ${what}: NOT CHECKED, the claim has its digest alone. An auditor gets the proof from the platform, and --ledger-proof gives it to this command.`,
          ];
    });
  });
}

/**
 * The body with proofs that came apart from it, each at the claims that state its digest.
 * @param documents one proof each, or several with a newline in between, as the service gives them
 * @returns the body, and how many documents belong to no claim
 */
export function withLedgerProofs(
  body: CertificateBody,
  documents: readonly Uint8Array[],
): { readonly body: CertificateBody; readonly strangers: number } {
  const texts = documents
    .flatMap((bytes) => new TextDecoder().decode(bytes).split('\n'))
    .filter((line) => line !== '');
  const known = new Map(texts.map((document) => [digestOf(document), document]));
  const used = new Set<string>();
  const claims = body.claims.map((claim) => {
    if (claim.kind !== CLAIM_KIND) return claim;
    const details = { ...claim.details };
    for (const { carried, digest } of DOCUMENTS) {
      const stated = String(claim.details[digest]);
      const document = known.get(stated);
      if (document === undefined) continue;
      used.add(stated);
      details[carried] ??= document;
    }
    return { ...claim, details };
  });
  return { body: { ...body, claims }, strangers: known.size - used.size };
}

/**
 * Checks offline that a leaf stands in a code ledger.
 * @param value parsed answer of a service, as `LedgerInclusion` @param root the root that the reader trusts, e.g. a claim's `digestAfter`
 * @returns why not, or undefined
 */
export function refuseInclusion(value: unknown, root: Hex32): string | undefined {
  const departure = inclusionShape(value, '');
  if (departure !== undefined) return `this is no proof of inclusion: ${departure}`;
  const { leafIndex, leafHash: leaf, ledgerSize, ledgerRoot, path } = value as LedgerInclusion;
  if (ledgerRoot !== root) return 'the proof is of another root';
  return verifyInclusion(fromHex(leaf), leafIndex, ledgerSize, path.map(fromHex), fromHex(root))
    ? undefined
    : 'the leaf is not at its place under the root';
}
