import {
  attestationMessage,
  type PartyAttestation,
  type PartyEvidence,
  requestDigest,
  verifyEd25519,
} from '@lethe/certificate';
import { EVENT, type events, partyArtefact } from '@lethe/contracts';
import { effectId } from '@lethe/events';
import type { Containment, ErasurePart } from '@lethe/service';
import { base64, canonicalJson, type Mailbox, parseCanonicalJson, utf8 } from '@lethe/std';
import type { Coordinator, Outcome } from '../coordinator.ts';
import { claimedArtefacts, claims } from '../domain/claims.ts';
import { FEDERATION } from '../errors.ts';
import type { Existing } from '../federations.ts';
import { answers, type Heard, type Room } from '../room.ts';

/** Parties bring their rows themselves: of records that this service never read it cannot know whose they are. */
const UNREACHED =
  'rows that a party holds of records which were not read before the request were not reached';

type Erased = Awaited<ReturnType<ErasurePart['erase']>>;

/** No prediction takes rows of the person any more; names every federation, and every party's model, on their datasets. */
export async function contain(
  { masks, federations }: Coordinator,
  tenant: string,
  request: events.ErasureRequested,
): Promise<Containment> {
  masks.add(tenant, [request.subjectAlias]);
  const artefacts: string[] = [];
  for (const address of await federations.ofDatasets(tenant, request.datasets)) {
    const { spec } = await federations.load(address);
    artefacts.push(...claimedArtefacts(address.name, spec.parties));
  }
  return { artefacts };
}

/** Takes the batch out of every federation. One in which an earlier run has done so answers from its fact. */
export async function erase(
  coordinator: Coordinator,
  tenant: string,
  started: events.ErasureStarted,
): Promise<Erased> {
  coordinator.masks.add(tenant, [...started.subjects, ...started.cohort]);
  const outcomes: Erased[] = [];
  for (const address of await coordinator.federations.ofDatasets(tenant, started.datasets)) {
    outcomes.push(await eraseFrom(coordinator, coordinator.room(address), started));
  }
  return {
    claims: outcomes.flatMap((outcome) => outcome.claims),
    needles: undefined,
    attestations: outcomes.flatMap((outcome) => outcome.attestations),
  };
}

async function eraseFrom(
  coordinator: Coordinator,
  room: Room,
  started: events.ErasureStarted,
): Promise<Erased> {
  const { address } = room;
  const { parties } = (await coordinator.federations.load(address)).spec;
  return await room.inTurn(async (heard) => {
    const federation = await coordinator.federations.load(address);
    const { current } = federation;
    const done = federation.erasures[started.erasure];
    if (done) {
      room.erasure = '';
      await coordinator.federations.destroy(address, federation.superseded);
      return answer(done);
    }
    if (!current)
      return untouched(address.name, parties, undefined, `no version was ever trained; ${UNREACHED}`);
    const { state } = await coordinator.serving(address, current);
    const batch = new Set([...started.subjects, ...started.cohort]);
    const gone = state.rows.filter(({ alias }) => batch.has(alias));
    if (gone.length === 0) {
      return untouched(
        address.name,
        parties,
        current,
        `no record of the batch was read under a committed root; ${UNREACHED}`,
      );
    }
    room.erasure = started.erasure;
    room.progress = { done: 0n, total: 0n, phase: 'waiting for the parties' };
    const links = await room.gathered(parties, coordinator.settings.partyWaitMs);
    const recordIds = gone.map(({ recordId }) => recordId);
    for (const link of links) {
      link.modelDigest = '';
      link.send({ $case: 'eraseRows', value: { erasure: started.erasure, recordIds } });
    }
    const result = await coordinator.retrain(room, federation, heard, {
      rows: state.rows.filter(({ alias }) => !batch.has(alias)),
      seed: started.seed,
      before: state,
    });
    const attestations = await attest(coordinator, room, heard, { federation, current, result, started });
    const after = { digest: result.digest, parties: statuses(parties, result) };
    const { epochs } = federation.spec;
    const survivors = result.state.rows.filter(({ label }) => label !== null).length;
    const fact = {
      erasure: started.erasure,
      claims: claims(address.name, parties, current, after, {
        rowsErased: String(gone.length),
        rowsErasedThatTrained: String(gone.filter(({ label }) => label !== null).length),
        survivors: String(survivors),
        epochs: String(epochs),
        steps: String(result.trained.steps),
        notCovered: UNREACHED,
        versionBefore: String(current.version),
        versionAfter: String(result.state.version),
      }),
      attestations,
    };
    const id = effectId(`${started.erasure}|${address.name}`, EVENT.federationTrained.type);
    const committed = await coordinator.publish(room, federation, result, { fact, id });
    room.erasure = '';
    return answer(committed);
  });
}

const answer = ({ claims: made, attestations }: events.FederationTrained): Erased => ({
  claims: made,
  needles: undefined,
  attestations,
});

const untouched = (
  name: string,
  parties: readonly string[],
  version: events.FederationTrained | undefined,
  reason: string,
): Erased => ({
  claims: claims(name, parties, version, version, { reason }),
  needles: undefined,
  attestations: [],
});

const statuses = (parties: readonly string[], { trained }: Outcome): events.FederationTrained['parties'] =>
  parties.map((party) => ({
    party,
    present: true,
    publicKey: new Uint8Array(0),
    modelDigest: trained.digests[party] ?? '',
  }));

/** Every party's signed statement, as the certificate carries it. @throws LETHE-4109, LETHE-4110, LETHE-4114 */
async function attest(
  { settings }: Coordinator,
  room: Room,
  heard: Mailbox<Heard>,
  work: {
    readonly federation: Existing;
    readonly current: events.FederationTrained;
    readonly result: Outcome;
    readonly started: events.ErasureStarted;
  },
): Promise<Uint8Array[]> {
  const { federation, current, result } = work;
  const { parties } = federation.spec;
  const { erasure } = work.started;
  const digestsBefore = new Map(current.parties.map(({ party, modelDigest }) => [party, modelDigest]));
  const request = requestDigest(erasure);
  for (const link of room.present(parties)) {
    const digestBefore = digestsBefore.get(link.party) ?? '';
    link.send({ $case: 'attest', value: { erasure, requestDigest: request, digestBefore } });
  }
  const signed = await answers(heard, parties, {
    kind: 'attestation',
    id: erasure,
    timeoutMs: settings.answerMs,
  });
  return parties.map((party) => {
    const { statement, signature } = signed.get(party)!;
    const attestation = parseCanonicalJson(statement) as PartyAttestation;
    const publicKey = federation.keys[party] ?? new Uint8Array(0);
    const asAsked =
      attestation.type === 'party-erased' &&
      attestation.federation === room.address.name &&
      attestation.party === party &&
      attestation.artefact === partyArtefact(room.address.name, party) &&
      attestation.requestDigest === request &&
      attestation.digestBefore === digestsBefore.get(party) &&
      attestation.digestAfter === result.trained.digests[party];
    if (!asAsked || !verifyEd25519(publicKey, attestationMessage(attestation), signature)) {
      throw FEDERATION.ATTESTATION_INVALID('a party signed something else than it was asked for', {
        details: { party },
      });
    }
    const evidence: PartyEvidence = {
      attestation,
      publicKey: base64(publicKey),
      signature: base64(signature),
    };
    return utf8(canonicalJson(evidence));
  });
}
