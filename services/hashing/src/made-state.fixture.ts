/**
 * A function with a large index that is made and not learned, for benchmarks: 4,096 synthetic rows, so many times over, each copy with ids, salts
 * and persons of its own; their sums are so many times those of one copy. So building it takes seconds; what a change does with it
 * is what it does with any state.
 */
import { EVENT, type hashing } from '@lethe/contracts';
import { newEvent } from '@lethe/events';
import { addItems, emptyStatistics, encodeFeatures, fitHashFunction, ITEM_ID_BYTES } from '@lethe/hashing';
import { CodeIndex } from '@lethe/index';
import { assert, secureRandom, seededRandom } from '@lethe/std';
import { storeBlock } from './consumers/erasure.ts';
import { BLOCK_ROWS, type FeatureBlock, labelBits, labelBytesOf } from './domain/blocks.ts';
import { type BlockRef, countItems, type Part } from './domain/head.ts';
import { partSpecs } from './domain/parts.ts';
import { isSampled } from './domain/sample.ts';
import { FUNCTION, FUNCTION_SPEC, SPEC, TENANT, type World } from './fixture.ts';
import { addressOf } from './functions.ts';
import { contextOf } from './index.ts';
import { emptyHead, growSample, targetsFor } from './learn.ts';
import { PieceStore } from './sealed-state.ts';

export interface MadeState {
  /** Feature blocks of 4,096 items. */
  readonly copies: number;
  readonly featureDim: number;
  readonly codeBits: number;
  /** Alias of an item's person. */
  readonly personOf: (position: number) => string;
  readonly spec?: Partial<hashing.HashFunctionSpec>;
  /** Codes to store instead of those that the function gives, [size, K / 8]. */
  readonly codes?: (given: Uint8Array) => Uint8Array;
}

/** Commits the state as the first version of a function. */
export async function makeState(world: World, made: MadeState): Promise<void> {
  const { copies, featureDim, codeBits } = made;
  const size = copies * BLOCK_ROWS;
  const { functions } = contextOf(world.deps);
  const address = addressOf(TENANT, 'shapes');
  const options = { seed: 'bench', featureDim, codeBits, lambda: 65_536 };
  const spec = { ...FUNCTION_SPEC, ...options, featureSeed: options.seed, ...made.spec };
  const created = newEvent(EVENT.hashFunctionCreated, { function: FUNCTION, spec });
  await functions.aggregates.propose(TENANT, address.id, () => [created]);
  const before = await functions.load(address);
  await functions.change(address, before, 'built', async (attempt) => {
    const head = emptyHead(world.datasetSpec, partSpecs(), options);
    const [empty] = head.parts;
    assert(empty, 'there is one part');
    const random = seededRandom('erasure-bench');
    const labelBytes = labelBytesOf(SPEC.label.classes.length);
    const labels = new Uint8Array(BLOCK_ROWS).map((_, row) => labelBits([row % 3], labelBytes)[0]!);
    const features = random.bytes(BLOCK_ROWS * featureDim).map((byte, at) => {
      if (at % featureDim === featureDim - 1) return 127;
      return (byte & 127) >> (at % 3 === Math.floor(at / featureDim) % 3 ? 0 : 2);
    });
    const one = addItems(emptyStatistics(featureDim, codeBits), {
      features,
      targets: targetsFor(empty, labels, labelBytes),
    });
    const times = (sums: Float64Array): Float64Array => sums.map((sum) => copies * sum);
    const statistics = { ...one, items: size, gram: times(one.gram), cross: times(one.cross) };
    const fn = fitHashFunction(statistics, { ...empty.fn, version: 1 });
    const copied = (bytes: Uint8Array): Uint8Array => {
      const out = new Uint8Array(copies * bytes.length);
      for (let copy = 0; copy < copies; copy++) out.set(bytes, copy * bytes.length);
      return out;
    };
    const ids = secureRandom().bytes(size * ITEM_ID_BYTES);
    const numbers = new Map<string, number>();
    const owners = Uint32Array.from({ length: size }, (_, position) => {
      const person = made.personOf(position);
      if (!numbers.has(person)) numbers.set(person, numbers.size);
      return numbers.get(person)!;
    });
    const store = new PieceStore(functions.state, TENANT);
    store.attempt = attempt;
    const index = CodeIndex.create({
      store,
      random: secureRandom(),
      codeBits,
      classes: SPEC.label.classes.length,
    });
    const blocks: BlockRef[] = [];
    let sample: { halvings: number; block: FeatureBlock | undefined } = { halvings: 0, block: undefined };
    for (let copy = 0; copy < copies; copy++) {
      const first = copy * BLOCK_ROWS;
      const block: FeatureBlock = {
        positions: Uint32Array.from({ length: BLOCK_ROWS }, (_, row) => first + row),
        featureDim,
        labelBytes,
        labels,
        features,
      };
      blocks.push((await storeBlock(attempt, block))!);
      const { halvings } = sample;
      const sampled = [...block.positions.keys()].filter((row) => isSampled(ids, first + row, halvings));
      sample = growSample(sample, { block, sampled }, (at) => ids.subarray(at * ITEM_ID_BYTES));
    }
    const stored = await storeBlock(attempt, sample.block!);
    const part: Part = { ...empty, fn, statistics, blocks, sample: { ...sample, block: stored } };
    const given = copied(encodeFeatures(fn, features));
    const change = await index.append({
      ids,
      codes: made.codes ? made.codes(given) : given,
      fnVersions: new Uint32Array(size).fill(1),
      modalities: new Uint8Array(size),
      labels: copied(labels),
      owners,
      aliases: [...numbers.keys()],
    });
    attempt.open = change;
    const items = Iterator.from(labels.keys()).map((row) => ({
      fnVersion: 1,
      modality: 0,
      labels: [row % 3],
    }));
    const counts = countItems(head.live, items, 1);
    const live = {
      codes: counts.codes.map((entry) => ({ ...entry, codes: copies * entry.codes })),
      labels: counts.labels.map((entry) => ({ ...entry, items: copies * entry.items })),
    };
    const root = FUNCTION_SPEC.root;
    return {
      head: { ...head, version: 1, root, lastPosition: size, live, parts: [part], index: change.manifest },
      index,
      store,
      replaced: [],
      promotion: {
        erasure: '',
        needles: undefined,
        proof: undefined,
        claims: [],
        statisticsMs: 0,
        solveMs: 0,
        oldCodesRootBefore: new Uint8Array(0),
        oldCodesRootAfter: new Uint8Array(0),
      },
    };
  });
}
