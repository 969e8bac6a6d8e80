import { EVENT } from '@lethe/contracts';
import { decodePayload, decodeSpec } from '@lethe/datasets';
import { effectId, newEvent } from '@lethe/events';
import { datasetOfRoot, exclusions, isFinal, loggedRoot, readRecords } from '@lethe/service';
import type { HashingContext } from '../context.ts';
import { HASHING_SERVICE } from '../errors.ts';
import type { Address, Existing, Promotion } from '../functions.ts';
import { type Example, emptyState, learnExamples } from '../learn.ts';

/**
 * Learns the root that an event asks for, unless its result is there. Runs again after a crash, from the beginning: nothing of
 * an attempt counts before its fact is committed.
 */
export async function onRootRequested(
  context: HashingContext,
  address: Address,
  eventId: string,
): Promise<void> {
  const { functions, progress, logger } = context;
  await functions.inTurn(address, async () => {
    try {
      for (;;) {
        const before = await functions.load(address);
        if (before.pending?.eventId !== eventId) return;
        if (await learn(context, address, before, before.pending.root)) return;
        // Another process promoted a version meanwhile, for example an erasure: what it took out must not come back.
      }
    } catch (error) {
      if (!isFinal(error)) throw error;
      logger.warn('a root could not be learned', { function: address.name, error });
      const { code, message } = error;
      await functions.aggregates.propose(address.tenant, address.id, (now) =>
        now.pending?.eventId === eventId
          ? [
              newEvent(
                EVENT.hashFunctionFailed,
                { function: address.name, code, message },
                effectId(eventId, EVENT.hashFunctionFailed.type),
              ),
            ]
          : [],
      );
    } finally {
      progress.delete(address.name);
    }
  });
}

/** @returns false if the function was changed by another process in between */
async function learn(
  context: HashingContext,
  address: Address,
  before: Existing,
  root: string,
): Promise<boolean> {
  const { functions, peers, random, progress } = context;
  const { spec, pending } = before;
  progress.set(address.name, { done: 0n, total: 0n, phase: 'reading records' });
  const { ROOT_NOT_LOGGED } = HASHING_SERVICE;
  const { lastPosition } = await loggedRoot(peers, root, context.rootWaitMs, ROOT_NOT_LOGGED);
  const old = before.current && (await functions.version(address, before.current));
  const base = old
    ? old.state
    : emptyState((await peers.vault.getDataset({ name: datasetOfRoot(root) })).spec, {
        seed: spec.featureSeed,
        featureDim: spec.featureDim,
        codeBits: spec.codeBits,
        lambda: spec.lambda,
      });
  const examples = await readExamples(context, address.tenant, root, base);
  if (!before.current && examples.length === 0) {
    throw HASHING_SERVICE.NOTHING_TO_LEARN('there is no labelled record under the root', {
      details: { root },
    });
  }
  const learned = await learnExamples(
    base,
    { root, lastPosition: Number(lastPosition) },
    examples,
    random,
    (done) => {
      const total = BigInt(examples.length);
      progress.set(address.name, { done: BigInt(done), total, phase: 'learning records' });
    },
  );
  const next = await functions.promote(
    address,
    before,
    learned.state,
    async ({ ledger }): Promise<Promotion> => ({
      erasure: '',
      needles: undefined,
      proof: undefined,
      claims: [],
      statisticsMs: learned.statisticsMs,
      solveMs: learned.solveMs,
      oldCodesRootBefore: old ? old.ledger.root() : new Uint8Array(0),
      oldCodesRootAfter: old ? ledger.root(base.entries.length) : new Uint8Array(0),
    }),
    effectId(pending!.eventId, EVENT.hashFunctionPromoted.type),
  );
  return next !== undefined;
}

/**
 * Labelled records that the function has not learned: those after its last position, without canaries and without persons whose
 * erasure was requested. A record without a label teaches nothing and is not indexed.
 */
async function readExamples(
  { peers, masks }: HashingContext,
  tenant: string,
  root: string,
  base: { readonly lastPosition: number; readonly datasetSpec: Uint8Array },
): Promise<Example[]> {
  const spec = decodeSpec(base.datasetSpec);
  const exclude = await exclusions(peers, root);
  const records = await readRecords(peers, root, { afterPosition: base.lastPosition, exclude });
  // Read after the records: a person whose containment came in between is left out as well.
  const masked = masks.of(tenant);
  return records
    .filter(({ alias }) => !masked.has(alias))
    .flatMap(({ alias, payload }) => {
      const { values, label } = decodePayload(spec, payload);
      return label === undefined ? [] : [{ alias, row: { values, label } }];
    });
}
