/** The steps of the emoji demonstration: each talks to the platform over gRPC and returns figures. */
import { hashing, resourceName } from '@lethe/contracts';
import { EMOJI_GROUPS, encodeSpec } from '@lethe/datasets';
import { DEFAULT_CROSS_MODAL } from '@lethe/hashing';
import { concatBytes, hex, LetheError } from '@lethe/std';
import { DEMO } from '../errors.ts';
import { type Codes, inFlight, meanPrecision } from '../measure.ts';
import {
  changedCodes,
  type Issued,
  ingestRecords,
  issued,
  listCodes,
  plantedFound,
  type Scene,
  stateName,
  untilFinal,
  untilServing,
} from '../work.ts';
import {
  type Collection,
  type Item,
  MODALITIES,
  type ModalityName,
  QUESTIONS,
  questionOf,
  subgroupOf,
} from './collection.ts';
import type { Answer, Forgotten, Found, Precision, Step } from './summary.ts';

const { featureDim, lambda } = DEFAULT_CROSS_MODAL;
/** 128 bits hold 252 classes. */
export const OPTIONS = { codeBits: 128, featureDim, lambda } as const;

const IN_FLIGHT = 32;
const SHOWN = 5;
/** The service's limit, so that an item is seen wherever it ranks. */
const NEIGHBOURS = 1_000;
/** The question whose first answer is then forgotten. */
const FORGOTTEN = 1;

export interface EmojiStage extends Scene {
  readonly collection: Collection;
  /** Stored emoji by owner's alias and subgroup. */
  readonly byOwner: Map<string, { readonly item: Item; readonly subjectId: string }>;
}

const names = (tenant: string) => ({
  parent: resourceName('tenant', tenant),
  dataset: resourceName('dataset', tenant, 'emoji'),
  fn: resourceName('hashFunction', tenant, 'emoji'),
});

const ownerKey = (alias: string, subgroup: string): string => `${alias} ${subgroup}`;

export async function createDataset({ platform, collection }: EmojiStage): Promise<void> {
  const { parent } = names(platform.tenant);
  const spec = encodeSpec(collection.spec);
  await platform.client.vault.createDataset({ parent, datasetId: 'emoji', spec, requestId: 'create' });
}

/** A group arrives: its emoji are sealed, the function learns them and nothing else, and everything is asked again. */
export async function arrive(stage: EmojiStage, group: number): Promise<Step> {
  const { platform, collection, note } = stage;
  const { client, auditor, tenant } = platform;
  const { parent, dataset, fn } = names(tenant);
  const records = collection.waves[group]!;
  const requestId = `group-${group}`;
  await ingestRecords(platform, dataset, collection.spec, { requestId, records });
  await inFlight(records, IN_FLIGHT, async ({ subjectId, item }) => {
    const { alias } = await auditor.vault.resolveSubject({ parent, subjectId });
    stage.byOwner.set(ownerKey(alias, item.emoji.subgroup), { item, subjectId });
  });
  const root = await client.vault.commitDatasetRoot({ dataset, requestId });
  note(`${records.length} emoji sealed, dataset root logged: ${hex(root.root).slice(0, 16)}…`);
  const old = group === 0 ? [] : await listCodes(platform, fn);
  const startedMs = performance.now();
  if (group === 0) {
    const modalities = MODALITIES.map(({ name, fields }) => ({ name, fields: [...fields] }));
    const spec = { root: root.name, ...OPTIONS, modalities };
    await client.hashing.createHashFunction({ parent, functionId: 'emoji', spec, requestId });
  } else {
    await client.hashing.createUpdate({ name: fn, root: root.name, requestId });
  }
  const version = group + 1;
  const served = await untilServing(stage, fn, version);
  const updateSeconds = (performance.now() - startedMs) / 1000;
  const now = await listCodes(platform, fn);
  const asked = collection.heldOut.filter(({ emoji }) => emoji.group <= group);
  return {
    group: EMOJI_GROUPS[group]!,
    emoji: records.length,
    version: served.version,
    datasetRoot: hex(root.root),
    statisticsMs: served.statisticsMs,
    solveMs: served.solveMs,
    updateSeconds,
    oldCodes: old.length,
    oldCodesChanged: changedCodes(old, now),
    oldCodesRootBefore: old.length === 0 ? '' : hex(served.oldCodesRootBefore),
    oldCodesRootAfter: old.length === 0 ? '' : hex(served.oldCodesRootAfter),
    gate: verdictName(served.gate?.verdict),
    queries: asked.length,
    precision: await precision(stage, asked, now),
    answers: await inFlight([...QUESTIONS.keys()], 1, (question) => answer(stage, question)),
  };
}

function verdictName(verdict: number | undefined): string {
  const entry = Object.entries(hashing.GateReport_Verdict).find(([, value]) => value === verdict);
  return entry ? entry[0].replace('VERDICT_', '') : 'none';
}

/** The lowest label of an item is its group. */
const codesOf = (entries: readonly hashing.CodeEntry[], modality: ModalityName): Codes => {
  const own = entries.filter((entry) => entry.modality === modality);
  return {
    codes: concatBytes(...own.map(({ code }) => code)),
    labels: Int32Array.from(own, ({ label }) => label),
  };
};

async function precision(
  { platform, collection }: EmojiStage,
  asked: readonly Item[],
  entries: readonly hashing.CodeEntry[],
): Promise<Precision> {
  const { fn } = names(platform.tenant);
  const labels = Int32Array.from(asked, ({ emoji }) => emoji.group);
  const queries = async (modality: ModalityName): Promise<Codes> => {
    const answers = await inFlight(asked, IN_FLIGHT, (item) =>
      platform.client.hashing.encode({ name: fn, payload: questionOf(collection.spec, item, modality) }),
    );
    return { codes: concatBytes(...answers.map(({ code }) => code)), labels };
  };
  const [images, texts] = [codesOf(entries, 'image'), codesOf(entries, 'text')];
  const map = (from: Codes, to: Codes): number => meanPrecision(from, to, OPTIONS.codeBits, []).all;
  // Where all codes are equal every order is as likely as any other.
  const blank = ({ codes, ...rest }: Codes): Codes => ({ ...rest, codes: new Uint8Array(codes.length) });
  const [fromTexts, fromImages] = [await queries('text'), await queries('image')];
  return {
    textToImage: map(fromTexts, images),
    imageToText: map(fromImages, texts),
    randomOrder: map(blank(fromTexts), blank(images)),
  };
}

async function nearest({ platform }: EmojiStage, payload: Uint8Array, k: number, modalities: ModalityName[]) {
  const { fn } = names(platform.tenant);
  const query = { $case: 'payload' as const, value: payload };
  const filter = { modalities };
  return (await platform.client.hashing.search({ name: fn, query, k, filter })).neighbours;
}

function ownedBy({ byOwner, collection }: EmojiStage, { subjectAlias, labels }: hashing.Neighbour) {
  const owned = byOwner.get(ownerKey(subjectAlias, subgroupOf(collection.spec, labels)));
  if (!owned) throw DEMO.WORK_FAILED('an item was found that nobody had stored');
  return owned;
}

async function answer(stage: EmojiStage, question: number): Promise<Answer> {
  const neighbours = await nearest(stage, stage.collection.questions[question]!, SHOWN, ['image']);
  const found = neighbours.map((neighbour): Found => {
    const { character, name, code, group } = ownedBy(stage, neighbour).item.emoji;
    return { character, name, code, group: EMOJI_GROUPS[group]!, distance: neighbour.distance };
  });
  return { question: QUESTIONS[question]!.text, found };
}

/** The owner of the first answer to "fresh fruit" is forgotten, with all that they have. */
export async function forgetOwner(
  stage: EmojiStage,
): Promise<{ readonly forgotten: Forgotten; readonly files: Issued }> {
  const { platform, collection, note } = stage;
  const { auditor, tenant } = platform;
  const { parent, dataset } = names(tenant);
  const before = await answer(stage, FORGOTTEN);
  const [first] = await nearest(stage, collection.questions[FORGOTTEN]!, 1, ['image']);
  if (!first) throw DEMO.WORK_FAILED('nothing was found that could be forgotten');
  const { subjectId } = ownedBy(stage, first);
  const own = collection.waves.flat().filter((record) => record.subjectId === subjectId);
  const emoji = own.map(({ item }) => {
    const { character, name, code } = item.emoji;
    return { character, name, code };
  });
  note(`one synthetic owner of ${emoji.map(({ character, name }) => `${character} ${name}`).join(', ')}`);
  const items = async (): Promise<number> => {
    const found = new Set<string>();
    for (const { item } of own) {
      for (const { name } of MODALITIES) {
        const payload = questionOf(collection.spec, item, name);
        for (const { itemId, subjectAlias } of await nearest(stage, payload, NEIGHBOURS, [name]))
          if (subjectAlias === first.subjectAlias) found.add(hex(itemId));
      }
    }
    return found.size;
  };
  const itemsFoundBefore = await items();
  const startedMs = performance.now();
  const { erasureRequest } = await auditor.erasure.createErasureRequest({
    parent,
    subjectId,
    requestId: 'forget-me',
    policy: 'gdpr-art-17',
  });
  const { name } = erasureRequest!;
  const final = await untilFinal(stage, name);
  const secondsToCertificate = (performance.now() - startedMs) / 1000;
  const again = ingestRecords(platform, dataset, collection.spec, { requestId: 'again', records: own });
  const reingestionRefused = await again.then(
    () => false,
    (error: unknown) => error instanceof LetheError && error.reason === 'SUBJECT_ERASED',
  );
  const { body, ...files } = await issued(platform, name);
  const forgotten: Forgotten = {
    status: stateName(final.state),
    secondsToCertificate,
    emoji,
    itemsFoundBefore,
    itemsFoundAfter: await items(),
    residualBytes: Number(final.residualBytes),
    plantedFound: plantedFound(body),
    reingestionRefused,
    before,
    after: await answer(stage, FORGOTTEN),
    claim: body.overall,
  };
  return { forgotten, files };
}
