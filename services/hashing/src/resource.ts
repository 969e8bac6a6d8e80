import { common, hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { HashingContext } from './context.ts';
import { movingCodes } from './domain/hash-function.ts';
import { driftConditions } from './domain/watch.ts';
import type { Address, Existing, HashFunctions, Serving } from './functions.ts';
import type { Learned } from './learned.ts';

/**
 * A function as callers see it.
 * @param opens whether a version that is not in memory is opened to count what its index holds; a list of many does not
 */
export async function resource(
  { functions, progress, watches, blocked }: HashingContext,
  address: Address,
  opens = true,
): Promise<Partially<hashing.HashFunction>> {
  const state = await functions.load(address);
  const { current, lastLearned } = state;
  const now = progress.get(address.name);
  const { state: watched } = await watches.load(address.tenant, address.id);
  const serving = current && (await inMemory(functions, address, opens));
  return {
    name: address.name,
    spec: state.spec,
    state: stateOf(state),
    conditions: [
      ...conditions(state),
      ...erasureConditions(blocked.get(address.name)),
      ...driftConditions(watched, lastLearned?.version ?? 0, state.pending !== undefined),
    ],
    ...(state.pending && now ? { progress: now } : {}),
    updateTime: new Date(state.changedMs),
    ...(current && {
      version: current.version,
      learnedRoot: current.root,
      weightsDigest: current.weightsDigest,
      sumsDigest: current.sumsDigest,
      ledgerRoot: current.ledgerRoot,
      itemCount: current.itemCount,
      classes: current.classes,
    }),
    ...(serving && {
      ...contentsOf(serving.learned),
      appliedSequence: serving.applied,
    }),
    ...(lastLearned && {
      oldCodesRootBefore: lastLearned.oldCodesRootBefore,
      oldCodesRootAfter: lastLearned.oldCodesRootAfter,
      statisticsMs: lastLearned.statisticsMs,
      solveMs: lastLearned.solveMs,
      gate: lastLearned.gate,
    }),
    held: state.held,
    reencoding: movingCodes(state),
  };
}

/** A version that cannot be opened is shown all the same: its facts are in the events. */
async function inMemory(
  functions: HashFunctions,
  address: Address,
  opens: boolean,
): Promise<Serving | undefined> {
  const loaded = functions.loaded(address);
  if (loaded || !opens) return loaded;
  return await functions.serving(address).catch(() => undefined);
}

/** What the index holds: codes by version and by modality. */
function contentsOf(learned: Learned): Partially<hashing.HashFunction> {
  const { live, duplicates, quarantine } = learned.head;
  const { codes } = live;
  const retired = quarantine.filter((item) => item.retired).length;
  const previous = learned.head.previous?.version ?? 0;
  const known = [...codes.map(({ version }) => version), previous, learned.version];
  const versions = [...new Set(known)].filter((version) => version > 0).sort((a, b) => a - b);
  const sum = (counted: typeof codes): bigint =>
    BigInt(counted.reduce((total, entry) => total + entry.codes, 0));
  return {
    liveVersions: versions.map((version) => ({
      version,
      codeCount: sum(codes.filter((entry) => entry.version === version)),
      ...digestsOf(learned, version),
    })),
    modalities: learned.modalities.map((name, part) => ({
      name,
      itemCount: sum(codes.filter((entry) => entry.part === part)),
    })),
    nearDuplicates: BigInt(duplicates.reduce((total, { rows }) => total + rows, 0)),
    quarantinedItems: BigInt(quarantine.length - retired),
    retiredItems: BigInt(retired),
    ledgerSize: BigInt(learned.index.size),
    segmentCount: learned.head.index.segments.length,
  };
}

/** Of a version whose weights are kept: the newest, and the one before while it answers beside it. */
function digestsOf(
  learned: Learned,
  version: number,
): Pick<hashing.LiveVersion, 'fingerprint' | 'behaviourDigest'> {
  const { fingerprint, behaviourDigest } = learned;
  if (version === learned.version) return { fingerprint, behaviourDigest };
  const isPrevious = version === learned.head.previous?.version;
  return (isPrevious ? learned.previousDigests : undefined) ?? { fingerprint: '', behaviourDigest: '' };
}

function stateOf({ current, pending }: Existing): hashing.HashFunction_State {
  const { STATE_SERVING, STATE_LEARNING, STATE_FAILED } = hashing.HashFunction_State;
  if (current) return STATE_SERVING;
  return pending ? STATE_LEARNING : STATE_FAILED;
}

function conditions(state: Existing): common.Condition[] {
  const { CONDITION_STATUS_TRUE } = common.ConditionStatus;
  const moving = movingCodes(state);
  if (!moving) return [learning(state)];
  const { fromVersion, codesLeft } = moving;
  const answers = fromVersion === 0 ? 'the newest version answers' : `version ${fromVersion} answers`;
  return [
    learning(state),
    {
      type: 'Reencoding',
      status: CONDITION_STATUS_TRUE,
      reason: fromVersion === 0 ? 'Moving' : 'FannedOut',
      message: `${answers} for ${codesLeft} codes that are not moved to the newest version yet`,
      lastTransitionTime: new Date(state.changedMs),
    },
  ];
}

/** An erasure that cannot go on: the person is masked, and still in the state. */
function erasureConditions(blocked: ReturnType<HashingContext['blocked']['get']>): common.Condition[] {
  if (!blocked) return [];
  const { code, message, sinceMs } = blocked;
  return [
    {
      type: 'Erasure',
      status: common.ConditionStatus.CONDITION_STATUS_FALSE,
      reason: 'Blocked',
      message: `${code}: ${message}. The person stays masked; restore the artefact and replay the dead letter.`,
      lastTransitionTime: new Date(sinceMs),
    },
  ];
}

/** What an operator can do about a candidate that the gate holds. */
const WAY_OUT =
  'Promote it with MODE_FORCE (it answers for all codes) or MODE_FAN_OUT (each version answers for its own while codes are moved), or update to a later root.';

function learning({ pending, failure, held, changedMs }: Existing): common.Condition {
  const { CONDITION_STATUS_TRUE, CONDITION_STATUS_FALSE } = common.ConditionStatus;
  const condition = { type: 'Learning', lastTransitionTime: new Date(changedMs) };
  if (pending) {
    const message = `learns from ${pending.root}`;
    return { ...condition, status: CONDITION_STATUS_TRUE, reason: 'RootRequested', message };
  }
  const idle = { ...condition, status: CONDITION_STATUS_FALSE };
  if (failure) return { ...idle, reason: 'Failed', message: failure.message };
  if (held) {
    const why = held.report?.reasons.join(' ') ?? '';
    return {
      ...idle,
      reason: 'Held',
      message: `the version learned from ${held.root} is held: ${why} ${WAY_OUT}`,
    };
  }
  return { ...idle, reason: 'UpToDate', message: '' };
}
