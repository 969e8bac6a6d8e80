/**
 * What an erasure will destroy, fixed before anything is destroyed: a crash in the middle resumes with the same list, and the
 * evidence can speak of records that are gone by then. The plan carries ciphertext and blinded leaves, no plain text; it is
 * sealed under a key that dies when the erasure is done.
 */
import { resourceName } from '@lethe/contracts';
import { canonicalJson, fromHex, hex, utf8 } from '@lethe/std';
import { piecesOf } from '@lethe/store';
import type { VaultContext } from '../context.ts';
import { treeOf } from '../record-log.ts';

export interface PlannedNeedle {
  readonly kind: string;
  readonly hex: string;
}

export interface PlannedDataset {
  /** tenants/{tenant}/datasets/{dataset} */
  readonly name: string;
  readonly rootBefore: { readonly root: string; readonly count: number; readonly atMs: number };
  /** The person's leaves with their proofs of inclusion. The cohort's leaves leave the tree too and are only counted. */
  readonly removed: readonly {
    readonly leaf: string;
    readonly index: number;
    readonly path: readonly string[];
  }[];
  readonly removedOfCohort: number;
}

export interface ErasurePlan {
  readonly datasets: readonly PlannedDataset[];
  /** Positions in the record stream. */
  readonly positions: readonly number[];
  readonly aliases: readonly string[];
  readonly needles: readonly PlannedNeedle[];
}

/**
 * Commits the present state of each dataset that holds the person as the root before, so that the proofs start from a logged
 * root, and lists what goes.
 */
export async function makePlan(
  context: VaultContext,
  tenant: string,
  batch: {
    readonly subjects: readonly string[];
    readonly cohort: readonly string[];
    readonly datasets: readonly string[];
  },
  eventId: string,
): Promise<ErasurePlan> {
  const subjects = new Set(batch.subjects);
  const all = new Set([...batch.subjects, ...batch.cohort]);
  const datasets: PlannedDataset[] = [];
  const positions: number[] = [];
  const needles: PlannedNeedle[] = [];
  for (const id of await context.datasets.list(tenant)) {
    const name = resourceName('dataset', tenant, id);
    const holds = (await context.records.index(tenant, id)).values().some(({ alias }) => all.has(alias));
    if (!holds && !batch.datasets.includes(name)) continue;
    const before = await context.datasets.commit(
      tenant,
      id,
      `${eventId}:root-before:${id}`,
      `before ${eventId}`,
    );
    // Others may ingest meanwhile, and after a crash the root is older than the index: what it covers ends at its last position.
    const covered = (await context.records.index(tenant, id))
      .values()
      .filter(({ position }) => position <= before.lastPosition)
      .toArray();
    const tree = treeOf(covered);
    const leaving = covered.filter(({ alias }) => all.has(alias));
    const person = leaving.filter(({ alias }) => subjects.has(alias));
    datasets.push({
      name,
      rootBefore: { root: before.root, count: before.recordCount, atMs: before.atMs },
      removed: person.map(({ leaf }) => {
        const { index, proof } = tree.prove(fromHex(leaf));
        return { leaf, index, path: proof.map(hex) };
      }),
      removedOfCohort: leaving.length - person.length,
    });
    const going = [
      ...leaving.map(({ position }) => position),
      ...(await context.records.shadowed(tenant, id, all)),
    ];
    positions.push(...going);
    needles.push(...(await ciphertextNeedles(context, tenant, id, new Set(going))));
  }
  return { datasets, positions, aliases: [...all], needles };
}

/** Pieces of the sealed records as they lie in the log. */
async function ciphertextNeedles(
  context: VaultContext,
  tenant: string,
  dataset: string,
  positions: ReadonlySet<number>,
): Promise<PlannedNeedle[]> {
  const out: PlannedNeedle[] = [];
  const to = Math.max(0, ...positions);
  for await (const { record, sealed } of context.records.read(tenant, dataset, { after: 0, to })) {
    if (!positions.has(record.position)) continue;
    for (const piece of piecesOf('record-ciphertext', sealed))
      out.push({ kind: piece.kind, hex: hex(piece.bytes) });
  }
  return out;
}

export const encodePlan = (plan: ErasurePlan): Uint8Array => utf8(canonicalJson(plan));

export const decodePlan = (bytes: Uint8Array): ErasurePlan =>
  JSON.parse(new TextDecoder().decode(bytes)) as ErasurePlan;
