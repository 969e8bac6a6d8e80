import { common, hashing } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { HashingContext } from './context.ts';
import type { Address, Existing, HashFunctions, Serving } from './functions.ts';
import type { Learned } from './learned.ts';

/**
 * A function as callers see it.
 * @param opens whether a version that is not in memory is opened to count what its index holds; a list of many does not
 */
export async function resource(
  { functions, progress }: HashingContext,
  address: Address,
  opens = true,
): Promise<Partially<hashing.HashFunction>> {
  const state = await functions.load(address);
  const { current, lastLearned } = state;
  const now = progress.get(address.name);
  const serving = current && (await inMemory(functions, address, opens));
  return {
    name: address.name,
    spec: state.spec,
    state: stateOf(state),
    conditions: conditions(state),
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
    }),
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
  const { codes } = learned.head.live;
  const versions = [...new Set([...codes.map(({ version }) => version), learned.version])];
  const sum = (counted: typeof codes): bigint =>
    BigInt(counted.reduce((total, entry) => total + entry.codes, 0));
  return {
    liveVersions: versions.map((version) => ({
      version,
      codeCount: sum(codes.filter((entry) => entry.version === version)),
      fingerprint: version === learned.version ? learned.fingerprint : '',
    })),
    modalities: learned.modalities.map((name, part) => ({
      name,
      itemCount: sum(codes.filter((entry) => entry.part === part)),
    })),
    ledgerSize: BigInt(learned.index.size),
    segmentCount: learned.head.index.segments.length,
  };
}

function stateOf({ current, pending }: Existing): hashing.HashFunction_State {
  const { STATE_SERVING, STATE_LEARNING, STATE_FAILED } = hashing.HashFunction_State;
  if (current) return STATE_SERVING;
  return pending ? STATE_LEARNING : STATE_FAILED;
}

function conditions({ pending, failure, changedMs }: Existing): common.Condition[] {
  const { CONDITION_STATUS_TRUE, CONDITION_STATUS_FALSE } = common.ConditionStatus;
  const lastTransitionTime = new Date(changedMs);
  if (pending) {
    const message = `learns from ${pending.root}`;
    return [
      {
        type: 'Learning',
        status: CONDITION_STATUS_TRUE,
        reason: 'RootRequested',
        message,
        lastTransitionTime,
      },
    ];
  }
  const reason = failure ? 'Failed' : 'UpToDate';
  const message = failure ? failure.message : '';
  return [{ type: 'Learning', status: CONDITION_STATUS_FALSE, reason, message, lastTransitionTime }];
}
