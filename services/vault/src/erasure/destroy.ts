/**
 * Destroys what the plan lists and says what can be shown of it. Every step may run again after a crash and comes to the
 * same end: destroyed keys keep their first receipt, overwritten messages stay overwritten, a committed root is found again.
 */
import { statementBytes } from '@lethe/certificate';
import { common, parseName } from '@lethe/contracts';
import { recordSubject, STREAMS } from '@lethe/events';
import { canonicalJson, fromHex, hex, sha256, timestamp, utf8 } from '@lethe/std';
import {
  filePlant,
  type KeyReceipt,
  type Needle,
  type Plant,
  type ProvenScan,
  provenScan,
  streamPlant,
} from '@lethe/store';
import type { VaultContext } from '../context.ts';
import { treeOf } from '../record-log.ts';
import type { ErasurePlan, PlannedDataset, PlannedNeedle } from './plan.ts';

export interface Destruction {
  /** Canonical JSON: the vault's evidence for the certificate (see README.md). */
  readonly evidence: Uint8Array;
  readonly claims: common.ArtefactClaim[];
  readonly residualBytes: number;
}

export async function destroy(
  context: VaultContext,
  tenant: string,
  plan: ErasurePlan,
  ownersNeedles: readonly PlannedNeedle[],
  eventId: string,
): Promise<Destruction> {
  // Keys first: from here on nobody can read what the following lines have not yet overwritten.
  const receipts = context.keys.destroySubjects(tenant, plan.aliases);
  await context.records.erase(plan.positions);
  const datasets = [];
  const claims: common.ArtefactClaim[] = [];
  for (const planned of plan.datasets) {
    const { evidence, rootAfter } = await recommit(context, tenant, planned, eventId);
    datasets.push(evidence);
    claims.push(recordsClaim(planned, rootAfter, plan.positions.length));
  }
  const needles = [...plan.needles, ...ownersNeedles];
  const scan = await scanStores(context, tenant, needles);
  const lengthOf = new Map(needles.map(({ kind, hex: text }) => [kind, text.length / 2]));
  const residualBytes = Object.entries(scan.report.found)
    .filter(([kind]) => lengthOf.has(kind))
    .reduce((sum, [kind, found]) => sum + found * lengthOf.get(kind)!, 0);
  const evidence = {
    datasets,
    keyReceipt: keyReceipt(receipts),
    scan: scanEvidence(context, needles, scan),
  };
  return { evidence: utf8(canonicalJson(evidence)), claims, residualBytes };
}

async function recommit(context: VaultContext, tenant: string, planned: PlannedDataset, eventId: string) {
  const [, id] = parseName('dataset', planned.name);
  const after = await context.datasets.commit(tenant, id!, `${eventId}:root-after:${id}`, `after ${eventId}`);
  const present = (await context.records.index(tenant, id!)).values();
  const tree = treeOf(present.filter(({ position }) => position <= after.lastPosition));
  const member = (side: { value: Uint8Array; index: number; proof: readonly Uint8Array[] } | null) =>
    side && { value: hex(side.value), index: side.index, proof: side.proof.map(hex) };
  const evidence = {
    name: planned.name,
    rootBefore: rootEvidence(planned.name, planned.rootBefore),
    rootAfter: rootEvidence(planned.name, { root: after.root, count: after.recordCount, atMs: after.atMs }),
    removed: planned.removed.map(({ leaf, index, path }) => {
      const { left, right } = tree.proveAbsence(fromHex(leaf));
      return { leaf, inclusion: { index, path }, absence: { left: member(left), right: member(right) } };
    }),
    removedOfCohort: planned.removedOfCohort,
  };
  return { evidence, rootAfter: after.root };
}

/** A root and the digest of the statement under which the transparency log holds it. */
function rootEvidence(dataset: string, { root, count, atMs }: { root: string; count: number; atMs: number }) {
  const at = timestamp(atMs);
  const statement = statementBytes({ type: 'dataset-root', version: 1, dataset, root, count, at });
  return { root, count, at, statementDigest: hex(sha256(statement)) };
}

function recordsClaim(planned: PlannedDataset, rootAfter: string, messages: number): common.ArtefactClaim {
  return {
    artefact: planned.name,
    kind: 'RECORDS',
    owner: 'vault',
    claim: common.Claim.CLAIM_ERASED_EXACT,
    epsilon: 0,
    delta: 0,
    unit: '',
    digestBefore: planned.rootBefore.root,
    digestAfter: rootAfter,
    method: 'key-destruction-and-secure-delete',
    details: {
      recordsOfSubject: String(planned.removed.length),
      recordsOfCohort: String(planned.removedOfCohort),
      messagesOverwritten: String(messages),
    },
  };
}

function keyReceipt(receipts: readonly KeyReceipt[]) {
  const digests = receipts.map((receipt) => receipt.keyIdDigest).sort();
  return {
    keyIdDigest: hex(sha256(digests.join('\n'))),
    keys: receipts.length,
    destroyedAt: timestamp(Math.max(...receipts.map((receipt) => receipt.destroyedAtMs))),
    method: 'overwritten in the key store, nothing of it left in its files',
    settings: receipts[0]?.settings ?? '',
  };
}

/** Copies are planted in the record log, the object store's stream and among the platform's files, found, removed, and gone. */
async function scanStores(
  { bus, scanRoots }: VaultContext,
  tenant: string,
  needles: readonly PlannedNeedle[],
): Promise<ProvenScan> {
  const wanted = needles.map(({ kind, hex: text }): Needle => ({ kind, bytes: fromHex(text) }));
  const jetStream = scanRoots.find((root) => root.name === 'jetstream');
  const plants = [
    ...(jetStream
      ? [
          inStore(
            jetStream.name,
            streamPlant(bus, STREAMS.records, recordSubject(tenant, 'planted', 'planted')),
          ),
          inStore(
            jetStream.name,
            streamPlant(bus, STREAMS.artefacts, `lethe.artefacts.v1.${tenant}.planted`),
          ),
        ]
      : []),
    ...scanRoots.filter((root) => root !== jetStream).map((root) => filePlant(root.name, root.path)),
  ];
  return await provenScan(
    scanRoots.map((root) => root.path),
    wanted,
    plants,
  );
}

/** The plant under the name of the store that the certificate shows, told apart from others in the same store. */
const inStore = (store: string, plant: Plant): Plant => ({ ...plant, store: `${store}/${plant.store}` });

function scanEvidence(
  { scanRoots, unscanned }: VaultContext,
  needles: readonly PlannedNeedle[],
  scan: ProvenScan,
) {
  const counts = new Map<string, number>();
  for (const { kind } of needles) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const plantsIn = (name: string) =>
    scan.plants.filter(({ store }) => store === name || store.startsWith(`${name}/`));
  return {
    stores: [
      ...scanRoots.map(({ name }, i) => ({
        name,
        scanned: true,
        bytes: scan.report.directories[i]?.bytes ?? 0,
        // A copy that was not found before would have ended the scan with an error.
        planted: {
          placed: plantsIn(name).length,
          foundBefore: plantsIn(name).length,
          foundAfter: plantsIn(name).reduce((sum, { left }) => sum + left, 0),
        },
      })),
      ...unscanned.map(({ name, reason }) => ({ name, scanned: false, reason })),
    ],
    files: scan.report.files,
    needles: [...counts].map(([kind, count]) => ({ kind, count, found: scan.report.found[kind] ?? 0 })),
  };
}
