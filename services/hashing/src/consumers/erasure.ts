import { EVENT, type events, parseName } from '@lethe/contracts';
import { effectId } from '@lethe/events';
import type { Containment, ErasurePart } from '@lethe/service';
import { hex, sha256 } from '@lethe/std';
import type { HashingContext } from '../context.ts';
import {
  claims,
  decodeNeedles,
  encodeNeedles,
  indexName,
  needlesOf,
  type VersionDigests,
} from '../domain/evidence.ts';
import type { Address, Existing, Promotion } from '../functions.ts';
import { erasePersons } from '../learn.ts';
import type { Learned } from '../learned.ts';

type Outcome = Awaited<ReturnType<ErasurePart['erase']>>;

/** Masks the person first; names every function and index that learns from a dataset which holds the person. */
export async function contain(
  { functions, masks }: HashingContext,
  tenant: string,
  request: events.ErasureRequested,
): Promise<Containment> {
  masks.add(tenant, [request.subjectAlias]);
  const addresses = await functions.ofDatasets(tenant, request.datasets);
  return { artefacts: addresses.flatMap(({ name }) => [name, indexName(name)]) };
}

/** Takes the batch out of every function. A function in which an earlier run has done so answers from its fact. */
export async function erase(
  context: HashingContext,
  tenant: string,
  started: events.ErasureStarted,
): Promise<Outcome> {
  const { functions, masks } = context;
  masks.add(tenant, [...started.subjects, ...started.cohort]);
  const outcomes: Outcome[] = [];
  for (const address of await functions.ofDatasets(tenant, started.datasets)) {
    outcomes.push(await functions.inTurn(address, () => eraseFrom(context, address, started)));
  }
  const refs = outcomes.flatMap(({ needles }) => (needles ? [needles] : []));
  return {
    claims: outcomes.flatMap((outcome) => outcome.claims),
    needles: refs.length > 1 ? await mergeNeedles(context, tenant, started, refs) : refs[0],
    attestations: [],
  };
}

async function eraseFrom(
  context: HashingContext,
  address: Address,
  started: events.ErasureStarted,
): Promise<Outcome> {
  const { functions } = context;
  for (;;) {
    const before = await functions.load(address);
    const done = before.erasures[started.erasure];
    if (done) {
      await functions.destroySuperseded(address, before);
      return { claims: done.claims, needles: done.needles, attestations: [] };
    }
    if (!before.current) return untouched(address, NO_VERSION, 'no version was ever learned');
    const serving = await functions.version(address, before.current);
    const batch = new Set([...started.subjects, ...started.cohort]);
    if (!serving.items.some(({ alias }) => batch.has(alias))) {
      return untouched(address, digestsOf(serving), 'no record of the batch was learned');
    }
    await eraseItems(context, address, before, serving, started, batch);
  }
}

/** Promotes the version without the batch, unless another process was first. */
async function eraseItems(
  { functions }: HashingContext,
  address: Address,
  before: Existing,
  serving: Learned,
  started: events.ErasureStarted,
  batch: ReadonlySet<string>,
): Promise<void> {
  const { tenant } = address;
  const result = await erasePersons(serving.state, batch);
  const promotion = async (next: Learned): Promise<Promotion> => ({
    erasure: started.erasure,
    proof: undefined,
    needles: await functions.sealed.put(
      tenant,
      needlesKeyId(started),
      encodeNeedles(needlesOf(result.erased)),
    ),
    claims: claims(address.name, digestsOf(serving), digestsOf(next), {
      erasedItems: result.erased.length,
      survivors: result.survivors,
      survivorCodes: 'KEEP',
      churn: result.churn,
      storedCodesThatDiffer: result.storedDiffer,
      versionBefore: serving.version,
      versionAfter: next.version,
    }),
    statisticsMs: result.statisticsMs,
    solveMs: result.solveMs,
    oldCodesRootBefore: new Uint8Array(0),
    oldCodesRootAfter: new Uint8Array(0),
  });
  const eventId = effectId(`${started.erasure}|${address.name}`, EVENT.hashFunctionPromoted.type);
  const next = await functions.promote(address, before, result.state, promotion, eventId);
  if (next) serving.scrub(result.erased);
}

/** All needles of one erasure, whichever function they come from: the vault destroys this key with the scan. */
const needlesKeyId = (started: events.ErasureStarted): string =>
  `hash-needles-${parseName('erasureRequest', started.erasure)[1]!}`;

const digestsOf = (learned: Learned): VersionDigests => ({
  weights: learned.weightsDigest,
  sums: learned.sumsDigest,
  ledgerRoot: hex(learned.ledger.root()),
});

/** Digest of no bytes, which is also RFC 6962's root of an empty tree. */
const NOTHING = hex(sha256());
const NO_VERSION: VersionDigests = { weights: NOTHING, sums: NOTHING, ledgerRoot: NOTHING };

const untouched = ({ name }: Address, digests: VersionDigests, reason: string): Outcome => ({
  claims: claims(name, digests, digests, { reason }),
  needles: undefined,
  attestations: [],
});

/** The needles of several functions as one artefact, under the key that they all have. */
async function mergeNeedles(
  { functions }: HashingContext,
  tenant: string,
  started: events.ErasureStarted,
  refs: readonly events.ArtefactRef[],
): Promise<events.ArtefactRef> {
  const parts = await Promise.all(refs.map((ref) => functions.sealed.get(tenant, ref)));
  return await functions.sealed.put(
    tenant,
    needlesKeyId(started),
    encodeNeedles(parts.flatMap(decodeNeedles)),
  );
}
