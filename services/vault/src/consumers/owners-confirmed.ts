import { EVENT, type events } from '@lethe/contracts';
import {
  aggregateSubject,
  decodeEvent,
  effectId,
  newEvent,
  type RecordedEvent,
  readEnvelope,
  STREAMS,
} from '@lethe/events';
import { assert } from '@lethe/std';
import type { VaultContext } from '../context.ts';
import { destroy } from '../erasure/destroy.ts';
import { decodePlan, encodePlan, makePlan, type PlannedNeedle } from '../erasure/plan.ts';

/** Nobody needs the records any more: destroy keys and messages, recommit the roots, scan, and say what can be shown. */
export async function onOwnersConfirmed(
  context: VaultContext,
  event: RecordedEvent<string, events.ErasureOwnersConfirmed>,
): Promise<void> {
  const { tenant, id } = event.aggregate;
  const { erasures, artefacts } = context;
  const started = await startedEvent(context, tenant, id);
  context.suppression.add(tenant, started.cohort);
  let { state } = await erasures.load(tenant, id);
  if (!state.plan) {
    const plan = await makePlan(context, tenant, started, event.id);
    const ref = await artefacts.put(tenant, `erasure-plan-${id}`, encodePlan(plan));
    const planned = newEvent(
      EVENT.subjectErasurePlanned,
      { erasure: event.data.erasure, plan: ref },
      effectId(event.id, EVENT.subjectErasurePlanned.type),
    );
    ({ state } = await erasures.propose(tenant, id, (now) => (now.plan ? [] : [planned])));
  }
  assert(state.plan, 'the plan was committed above');
  const refs = await ownersNeedles(context, tenant, id);
  if (!state.done) await destroyPlanned(context, event, state.plan, refs);
  // The last copies of the needles. After a crash before this line the event comes again, and only this is left to do.
  await artefacts.destroy(tenant, [state.plan, ...refs]);
}

async function destroyPlanned(
  context: VaultContext,
  event: RecordedEvent<string, events.ErasureOwnersConfirmed>,
  planRef: events.ArtefactRef,
  ownersRefs: readonly events.ArtefactRef[],
): Promise<void> {
  const { tenant, id } = event.aggregate;
  const { erasures, artefacts } = context;
  const plan = decodePlan(await artefacts.get(tenant, planRef));
  const needles: PlannedNeedle[] = [];
  for (const ref of ownersRefs) {
    const listed: unknown = JSON.parse(new TextDecoder().decode(await artefacts.get(tenant, ref)));
    needles.push(...(listed as { needles: PlannedNeedle[] }).needles);
  }
  const { evidence, claims, residualBytes } = await destroy(context, tenant, plan, needles, event.id);
  const fact = newEvent(
    EVENT.subjectKeyDestroyed,
    {
      erasure: event.data.erasure,
      claims,
      evidence: await artefacts.putPublic(tenant, evidence),
      residualBytes: BigInt(residualBytes),
    },
    effectId(event.id, EVENT.subjectKeyDestroyed.type),
  );
  await erasures.propose(tenant, id, (now) => (now.done ? [] : [fact]));
}

async function startedEvent(
  context: VaultContext,
  tenant: string,
  id: string,
): Promise<events.ErasureStarted> {
  const subject = aggregateSubject({ tenant, type: 'erasure', id });
  for await (const message of context.bus.read(STREAMS.events, subject)) {
    if (readEnvelope(message).type === EVENT.erasureStarted.type)
      return decodeEvent(EVENT.erasureStarted, message).data;
  }
  throw new Error('owners confirmed an erasure that has not started');
}

/** What the other owners want looked for: named in their facts. */
async function ownersNeedles(
  context: VaultContext,
  tenant: string,
  id: string,
): Promise<events.ArtefactRef[]> {
  const refs: events.ArtefactRef[] = [];
  for (const definition of [EVENT.hashErased, EVENT.modelUnlearned, EVENT.federationErased]) {
    const subject = aggregateSubject({ tenant, type: definition.aggregate, id });
    for await (const message of context.bus.read(STREAMS.events, subject)) {
      if (readEnvelope(message).type !== definition.type) continue;
      const { data } = decodeEvent(definition, message);
      if (data.needles) refs.push(data.needles);
    }
  }
  return refs;
}
