/** What an alarm leads to: a fact, and a request to learn what there is to learn. Nothing is promoted here. */
import { EVENT, type events, parseName } from '@lethe/contracts';
import { effectId, newEvent } from '@lethe/events';
import { datasetOfRoot } from '@lethe/service';
import { LetheError } from '@lethe/std';
import type { HashingContext } from './context.ts';
import { requestUpdate } from './domain/hash-function.ts';
import { alarmKey, type Drifted } from './drift.ts';

/** Refusals of an update that an alarm must not insist on: another root is being learned, or there is nothing to update. */
const NOT_NOW: readonly string[] = ['LETHE-4203', 'LETHE-4204', 'LETHE-4205'];

export async function raiseDrift(
  { functions, watches, peers, logger }: Pick<HashingContext, 'functions' | 'watches' | 'peers' | 'logger'>,
  { address, version, modality, report, referenceDigest }: Drifted,
): Promise<void> {
  const { tenant, id, name } = address;
  const { figures } = report;
  const fact: events.HashDrifted = {
    function: name,
    version,
    modality,
    items: BigInt(report.items),
    alarms: report.alarms.toSorted(),
    figures: {
      bitBalanceZMax: Math.max(...figures.bitBalanceZ.map(Math.abs)),
      marginPsi: figures.marginPsi,
      covarianceShift: figures.covarianceShift,
      openSetRate: figures.openSetRate,
      referenceOpenSetRate: figures.referenceOpenSetRate,
      hubnessSkew: figures.hubnessSkew,
      referenceHubnessSkew: figures.referenceHubnessSkew,
      dispersion: figures.dispersion,
    },
    referenceDigest,
  };
  const cause = [name, version, modality, alarmKey(report.alarms)].join('|');
  const isSame = (other: events.HashDrifted): boolean =>
    other.version === version &&
    other.modality === modality &&
    alarmKey(other.alarms) === alarmKey(report.alarms);
  await watches.propose(tenant, id, ({ drifts }) =>
    drifts.some(isSame) ? [] : [newEvent(EVENT.hashDrifted, fact, effectId(cause, EVENT.hashDrifted.type))],
  );
  logger.warn('traffic has drifted', { function: name, version, modality, alarms: fact.alarms.join(',') });
  const { spec, current } = await functions.load(address);
  const { latestRoot } = await peers.vault.getDataset({ name: datasetOfRoot(spec.root) });
  if (!current || latestRoot === '' || numberOf(latestRoot) <= numberOf(current.root)) return;
  try {
    const eventId = effectId(cause, EVENT.hashUpdateRequested.type);
    await functions.aggregates.propose(tenant, id, (state) =>
      requestUpdate(state, name, latestRoot, eventId),
    );
  } catch (error) {
    if (!(error instanceof LetheError && NOT_NOW.includes(error.code))) throw error;
  }
}

const numberOf = (root: string): number => Number(parseName('datasetRoot', root)[2]);
