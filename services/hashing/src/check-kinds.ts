/** What each kind of attack check does. The mathematics is `libs/hashing/src/attacks`. */

import type { Row } from '@lethe/datasets';
import {
  attackTargets,
  classCode,
  distance,
  encodeFeatures,
  flagExtreme,
  lowerBoundOfMean,
  uniquenessSignal,
} from '@lethe/hashing';
import { datasetOfRoot, exclusions, readRecords } from '@lethe/service';
import { concatBytes, type RandomSource, seededRandom } from '@lethe/std';
import type { Checked, Found } from './checks.ts';
import { excludedOf } from './context.ts';
import { labelsOfRow } from './domain/parts.ts';
import { HASHING_SERVICE } from './errors.ts';
import type { Learned } from './learned.ts';
import { meanMeasured, onePerPerson, precisions, sampledItems } from './probes.ts';

const PROBES_MAX = 500;
const HUB_NEIGHBOURS = 10;
const FALSE_ALARMS = 0.001;
/** Persons on each side that a figure about membership needs, and how many are enough. */
const PERSONS_MIN = 20;
const PERSONS_MAX = 1_000;
/** Attacked records, and log positions at the end of a root among which they are. */
const ATTACKED_MAX = 64;
const ATTACKED_POSITIONS = 2_048;
const ATTACK_EPSILON = 8;
const ATTACK_STEPS = 20;
/** Of the bound that an attack's gain over noise has to clear, and resamples that it takes. */
const ATTACK_LEVEL = 0.95;
const ATTACK_RESAMPLES = 1_999;
/** Entries, and attacked records, between two breaths. */
const ENTRIES_STEP = 2_048;
const ATTACKED_STEP = 4;
/** Codes that a probe is held against between two breaths. */
const SCANNED_STEP = 65_536;

/** Codes, and the row of the gallery where the probe itself lies, if it does. */
type Probes = readonly { readonly row: number | undefined; readonly code: Uint8Array }[];

const unfit = ({ address }: Checked, why: string) =>
  HASHING_SERVICE.CHECK_UNFIT(why, { details: { function: address.name } });

const excluded = ({ context, address }: Checked): ReadonlySet<string> =>
  excludedOf(context, address.name).excludedOwners ?? new Set<string>();

/**
 * N_10 of every item over probes of one modality (one item for each person, by the newest version), new items judged by those that were
 * there before. A probe is no neighbour of its own.
 */
export async function hubs(checked: Checked): Promise<Found> {
  const { spec, fromNewest, breathe, wipe, part } = checked;
  const { codeBits, probes, codes, ids, versions, count } = await fromNewest(async (learned) => {
    const bytes = learned.codeBits / 8;
    const out = excluded(checked);
    const own = onePerPerson(
      (await sampledItems(learned, out)).filter((item) => item.part === part),
      PROBES_MAX,
    );
    const asked = encodeFeatures(
      learned.head.parts[part]!.fn,
      concatBytes(...own.map(({ features }) => features)),
    );
    const rowOf = new Map<number, number>();
    const { index } = learned;
    const { live } = index;
    const copy = {
      codes: wipe(new Uint8Array(live * bytes)),
      ids: new Uint8Array(live * 16),
      versions: new Uint32Array(live),
    };
    let at = 0;
    let read = 0;
    for (const entry of index.entries()) {
      if (++read % ENTRIES_STEP === 0) await breathe();
      if (entry.kind === 'erased' || out.has(entry.owner) || at === live) continue;
      copy.codes.set(entry.code, at * bytes);
      copy.ids.set(entry.itemId, at * 16);
      copy.versions[at] = entry.fnVersion;
      rowOf.set(entry.index, at++);
    }
    const probesAt = own.map(({ index: position }, i) => ({
      row: rowOf.get(position),
      code: wipe(asked.slice(i * bytes, (i + 1) * bytes)),
    }));
    return { codeBits: learned.codeBits, probes: probesAt, ...copy, count: at };
  });
  const newerThan = newestBefore(versions.subarray(0, count), spec.newerThanVersion);
  const gallery = codes.subarray(0, (count * codeBits) / 8);
  const falseAlarms = spec.falseAlarms || FALSE_ALARMS;
  const judged = await judgeNewer(
    { probes, gallery, isNewer: (row) => versions[row]! > newerThan, codeBits, falseAlarms },
    breathe,
  );
  if (!judged)
    throw unfit(checked, 'there are no older items to judge newer ones by: update the function first');
  const { flagged, certain, ...figures } = judged;
  const idsOf = (rows: readonly number[]) => rows.map((row) => ids.slice(row * 16, (row + 1) * 16));
  return {
    alarm: flagged.length > 0,
    flagged: idsOf(flagged),
    toHold: idsOf(certain),
    outcome: {
      $case: 'hubs',
      value: {
        k: HUB_NEIGHBOURS,
        probes: probes.length,
        flaggedItems: BigInt(flagged.length),
        falseAlarms,
        heldItems: 0n,
        ...figures,
      },
    },
  };
}

/** The version after which items are judged: the wanted one, or the newest but one of a stored code. */
function newestBefore(versions: Uint32Array, wanted: number): number {
  const known = [...new Set(versions)].sort((a, b) => a - b);
  return wanted || (known.at(-2) ?? 0);
}

/**
 * Items of the gallery whose N_10 is extreme among that of older ones.
 * @returns rows that are flagged, and those that the default share of false alarms flags too, most occurrences first; undefined if there is
 * no newer item, or no older one
 */
export async function judgeNewer(
  asked: {
    readonly probes: Probes;
    /** [n, codeBits / 8] */
    readonly gallery: Uint8Array;
    readonly isNewer: (row: number) => boolean;
    readonly codeBits: number;
    readonly falseAlarms: number;
  },
  breathe: () => Promise<void>,
) {
  const { probes, gallery, isNewer, codeBits, falseAlarms } = asked;
  const rows = Array.from({ length: (8 * gallery.length) / codeBits }, (_, row) => row);
  const [judged, reference] = [rows.filter(isNewer), rows.filter((row) => !isNewer(row))];
  if (judged.length === 0 || reference.length === 0) return undefined;
  const occurrences = await countOccurrences(probes, gallery, codeBits, breathe);
  const of = (some: readonly number[]) => Float64Array.from(some, (row) => occurrences[row]!);
  const most = (values: Float64Array): number => values.reduce((best, value) => Math.max(best, value), 0);
  const extreme = (share: number) => flagExtreme(of(reference), of(judged), share).map((at) => judged[at]!);
  const flagged = extreme(falseAlarms);
  const share = Math.min(falseAlarms, FALSE_ALARMS);
  const certain = share * (reference.length + 1) < 1 ? [] : extreme(share);
  return {
    flagged,
    certain: certain.sort((a, b) => occurrences[b]! - occurrences[a]!),
    referenceItems: BigInt(reference.length),
    judgedItems: BigInt(judged.length),
    referenceMost: most(of(reference)),
    judgedMost: most(of(judged)),
  };
}

/**
 * `expectedOccurrences` of `libs/hashing` in steps, so that searches have their turn, and without the row where a probe itself lies.
 * @returns [n]
 */
async function countOccurrences(
  probes: Probes,
  codes: Uint8Array,
  codeBits: number,
  breathe: () => Promise<void>,
): Promise<Float64Array> {
  const bytes = codeBits / 8;
  const count = codes.length / bytes;
  const occurrences = new Float64Array(count);
  const distances = new Uint16Array(count);
  for (const { row: own, code } of probes) {
    const sizes = new Uint32Array(codeBits + 1);
    for (let from = 0; from < count; from += SCANNED_STEP) {
      for (let row = from; row < Math.min(count, from + SCANNED_STEP); row++) {
        distances[row] = distance(code, 0, codes, row * bytes, bytes);
        if (row !== own) sizes[distances[row]!]!++;
      }
      await breathe();
    }
    let radius = 0;
    let nearer = 0;
    while (radius < codeBits && nearer + sizes[radius]! < HUB_NEIGHBOURS) nearer += sizes[radius++]!;
    const share = Math.min(1, (HUB_NEIGHBOURS - nearer) / sizes[radius]!);
    for (let row = 0; row < count; row++) {
      if (row === own || distances[row]! > radius) continue;
      occurrences[row]! += distances[row]! < radius ? 1 : share;
    }
  }
  return occurrences;
}

/**
 * Learned items against records of persons of whom nothing was learned, those under a later root, all encoded by the newest version, one
 * for each person.
 */
export async function uniqueness(checked: Checked): Promise<Found> {
  const { fromNewest, breathe, wipe, part } = checked;
  const { codeBits, members, strangers } = await fromNewest(async (learned) => {
    const own = (await sampledItems(learned, excluded(checked))).filter((item) => item.part === part);
    const persons = onePerPerson(own, PERSONS_MAX);
    await breathe();
    const rows = await recordsFor(checked, learned, learned.head.lastPosition);
    const foreign = rows
      .filter(({ alias }) => learned.index.itemsOf(alias).length === 0)
      .slice(0, PERSONS_MAX);
    if (persons.length < PERSONS_MIN || foreign.length < PERSONS_MIN) {
      throw unfit(
        checked,
        `it takes ${PERSONS_MIN} learned persons and ${PERSONS_MIN} under a later root who were not; there are ${persons.length} and ${foreign.length}`,
      );
    }
    const { fn } = learned.head.parts[part]!;
    const features = concatBytes(...persons.map((item) => item.features));
    const outside = learned.encode(
      part,
      foreign.map(({ row }) => row),
    );
    return {
      codeBits: learned.codeBits,
      members: wipe(encodeFeatures(fn, features)),
      strangers: wipe(outside),
    };
  });
  await breathe();
  const signal = uniquenessSignal(members, strangers, codeBits);
  const bytes = codeBits / 8;
  return {
    alarm: signal.alarm,
    flagged: [],
    toHold: [],
    outcome: {
      $case: 'uniqueness',
      value: {
        members: members.length / bytes,
        strangers: strangers.length / bytes,
        auc: signal.auc,
        aucLow: signal.interval[0],
        aucHigh: signal.interval[1],
        redundancyMembers: signal.redundancyMembers,
        redundancyStrangers: signal.redundancyStrangers,
      },
    },
  };
}

/**
 * Records of the vault, attacked towards the class that follows theirs; what the attacker wants is found among the sampled items. Any change
 * of an input moves its code, and half of them towards anything: an alarm takes a gain over as much random noise on the same inputs, whose
 * lower bound over the queries is above 0.
 */
export async function targeted(checked: Checked): Promise<Found> {
  const { spec, fromNewest, breathe, part } = checked;
  const epsilon = spec.epsilon || ATTACK_EPSILON;
  const values = await fromNewest(async (learned) => {
    const { classes, codeBits } = learned;
    if (classes.length < 2) throw unfit(checked, 'an attack needs a second class to aim at');
    const all = await recordsFor(checked, learned, undefined);
    const attacked = all.filter(({ row }) => labelsOfRow(row).length > 0).slice(-ATTACKED_MAX);
    if (attacked.length === 0) {
      throw unfit(
        checked,
        'the vault has no labelled record with this modality among the last under the root',
      );
    }
    const gallery = await sampledItems(learned, excluded(checked));
    const map = learned.maps[part]!;
    const { fn } = learned.head.parts[part]!;
    const precisionsOf = async (inputs: Uint8Array, step: typeof attacked, wanted: readonly number[]) => {
      const codes = encodeFeatures(fn, map.apply(inputs));
      const bytes = codeBits / 8;
      const questions = step.map(({ alias }, i) => ({
        code: codes.subarray(i * bytes, (i + 1) * bytes),
        labels: [wanted[i]!],
        owner: alias,
      }));
      return [...(await precisions(questions, gallery, codeBits))];
    };
    const before: number[] = [];
    const after: number[] = [];
    const control: number[] = [];
    const random = seededRandom('lethe/hashing/targeted-control/v1');
    for (let at = 0; at < attacked.length; at += ATTACKED_STEP) {
      const step = attacked.slice(at, at + ATTACKED_STEP);
      const wanted = step.map(({ row }) => nextClass(classes, labelsOfRow(row)));
      const inputs = learned.readers[part]!.inputs(step.map(({ row }) => row));
      const targets = wanted.map((label) => classCode(fn.codebook, label));
      const changed = attackTargets(fn, map, inputs, targets, { epsilon, steps: ATTACK_STEPS });
      before.push(...(await precisionsOf(inputs, step, wanted)));
      after.push(...(await precisionsOf(changed.inputs, step, wanted)));
      const noisy = withNoise(inputs, epsilon, random);
      control.push(...(await precisionsOf(noisy, step, wanted)));
      for (const bytes of [inputs, changed.inputs, noisy]) bytes.fill(0);
      await breathe();
    }
    return { before, after, control, queries: attacked.length, galleryItems: gallery.length };
  });
  const tMapBefore = meanMeasured(values.before, 1);
  const tMapAfter = meanMeasured(values.after, 1);
  return {
    alarm: beatsControl(values.after, values.control),
    flagged: [],
    toHold: [],
    outcome: {
      $case: 'targeted',
      value: { epsilon, queries: values.queries, galleryItems: values.galleryItems, tMapBefore, tMapAfter },
    },
  };
}

/** Every byte moved by epsilon, up or down, within 0..255: what an attack without aim would do. */
const withNoise = (inputs: Uint8Array, epsilon: number, random: RandomSource): Uint8Array =>
  Uint8Array.from(inputs, (byte) =>
    Math.min(255, Math.max(0, byte + (random.below(2) === 0 ? -epsilon : epsilon))),
  );

/** Precisions of the same queries, attacked and with noise. NaN where nothing is relevant, in both. */
export function beatsControl(attacked: readonly number[], control: readonly number[]): boolean {
  const gains = attacked.map((value, i) => value - control[i]!).filter((gain) => !Number.isNaN(gain));
  const random = seededRandom('lethe/hashing/targeted-bound/v1');
  return lowerBoundOfMean(Float64Array.from(gains), ATTACK_LEVEL, ATTACK_RESAMPLES, random) > 0;
}

/** The class after the first label, among those that the record has not. */
function nextClass(classes: readonly number[], labels: readonly number[]): number {
  const others = classes.filter((label) => !labels.includes(label));
  return others.find((label) => label > labels[0]!) ?? others[0] ?? labels[0]!;
}

/**
 * One record with the modality for each person under the check's root, or under the dataset's newest one; without canaries and
 * whoever is contained.
 * @param afterPosition of the record log; undefined: the last ones under the root
 */
async function recordsFor(
  { context, spec, address, part }: Checked,
  learned: Learned,
  afterPosition: number | undefined,
): Promise<{ readonly alias: string; readonly row: Row }[]> {
  const { peers, masks, follower } = context;
  const dataset = datasetOfRoot(learned.head.root);
  const root = spec.root || (await peers.vault.getDataset({ name: dataset })).latestRoot;
  const { lastPosition } = await peers.vault.getDatasetRoot({ name: root });
  const from = afterPosition ?? Math.max(0, Number(lastPosition) - ATTACKED_POSITIONS);
  const exclude = await exclusions(peers, root);
  const records = await readRecords(peers, root, { afterPosition: from, exclude });
  await follower.fresh();
  const masked = masks.of(address.tenant);
  const persons = new Map<string, Row>();
  for (const { alias, payload } of records) {
    if (masked.has(alias) || persons.has(alias)) continue;
    const row = learned.decode(payload);
    if (learned.readers[part]!.has(row)) persons.set(alias, row);
  }
  return [...persons].map(([alias, row]) => ({ alias, row }));
}
