/**
 * The vault's evidence (a public artefact named by `subject.key.destroyed`) as parts of a certificate's body. The one place
 * that knows both forms.
 */
import type { DatasetEvidence, Details, KeyReceipt, NeighbourLeaf, ScanReport } from '@lethe/certificate';
import { parseCanonicalJson, timestamp } from '@lethe/std';
import { ERASURE } from '../errors.ts';

/** A sorted tree's membership in hex (`Membership` of `@lethe/merkle`). */
interface EvidenceMember {
  readonly value: string;
  readonly index: number;
  readonly proof: readonly string[];
}

interface EvidenceRoot {
  readonly root: string;
  readonly count: number;
  /** SHA-256 of the root's statement in the transparency log. */
  readonly statementDigest: string;
}

interface EvidencePlants {
  readonly placed: number;
  readonly foundBefore: number;
  readonly foundAfter: number;
}

type EvidenceStore =
  | {
      readonly name: string;
      readonly scanned: true;
      readonly bytes: number;
      readonly planted: EvidencePlants;
    }
  | { readonly name: string; readonly scanned: false; readonly reason?: string };

/** What the vault writes, in canonical JSON. */
export interface VaultEvidence {
  readonly datasets: readonly {
    readonly name: string;
    readonly rootBefore: EvidenceRoot;
    readonly rootAfter: EvidenceRoot;
    readonly removed: readonly {
      readonly leaf: string;
      readonly inclusion: { readonly index: number; readonly path: readonly string[] };
      readonly absence: { readonly left: EvidenceMember | null; readonly right: EvidenceMember | null };
    }[];
    /** Leaves of the cohort, which left the tree together with the person's. */
    readonly removedOfCohort?: number;
  }[];
  readonly keyReceipt: {
    readonly keyIdDigest: string;
    readonly keys: number;
    readonly destroyedAt: string;
    readonly method: string;
    /** As the key store reads them back: one text, or by name. */
    readonly settings: string | Details;
  };
  readonly scan: {
    readonly stores: readonly EvidenceStore[];
    readonly needles: readonly { readonly kind: string; readonly count: number; readonly found: number }[];
  };
}

/** @throws LETHE-4509 lacks a part; LETHE-1003 not canonical JSON */
export function parseEvidence(bytes: Uint8Array): VaultEvidence {
  const value = parseCanonicalJson(bytes) as Partial<VaultEvidence> | null;
  const sound =
    Array.isArray(value?.datasets) &&
    value.datasets.every((data) => data.rootBefore && data.rootAfter && Array.isArray(data.removed)) &&
    typeof value.keyReceipt === 'object' &&
    Number.isFinite(Date.parse(value.keyReceipt.destroyedAt)) &&
    Array.isArray(value.scan?.stores) &&
    value.scan.stores.every((store) => !store.scanned || typeof store.planted?.placed === 'number') &&
    Array.isArray(value.scan.needles);
  if (!sound) throw ERASURE.EVIDENCE_MALFORMED('the evidence of the vault lacks a part');
  return value as VaultEvidence;
}

/** Digests of the statements that the evidence leans on. */
export const rootStatementDigests = ({ datasets }: VaultEvidence): readonly string[] => [
  ...new Set(
    datasets.flatMap(({ rootBefore, rootAfter }) => [rootBefore.statementDigest, rootAfter.statementDigest]),
  ),
];

const neighbour = (member: EvidenceMember | null): NeighbourLeaf | null =>
  member && { leaf: member.value, index: member.index, inclusionProof: member.proof };

export const datasetEvidence = ({ datasets }: VaultEvidence): DatasetEvidence[] =>
  datasets.map(({ name, rootBefore, rootAfter, removed, removedOfCohort }) => {
    // Less the person's own, by how much the tree grew: records that came meanwhile, less leaves of others that left.
    const grown = rootAfter.count - rootBefore.count + removed.length;
    const removedWithIt = Math.max(removedOfCohort ?? 0, -grown);
    return {
      dataset: name,
      rootBefore: rootBefore.root,
      rootAfter: rootAfter.root,
      countBefore: rootBefore.count,
      countAfter: rootAfter.count,
      removedWithIt,
      added: grown + removedWithIt,
      removed: removed.map(({ leaf, inclusion, absence }) => ({
        leaf,
        index: inclusion.index,
        inclusionProof: inclusion.path,
        left: neighbour(absence.left),
        right: neighbour(absence.right),
      })),
    };
  });

export const keyReceipt = ({ keyReceipt: receipt }: VaultEvidence): KeyReceipt => ({
  keyIdDigest: receipt.keyIdDigest,
  destroyedAt: timestamp(Date.parse(receipt.destroyedAt)),
  method: receipt.method,
  settings: {
    ...(typeof receipt.settings === 'string' ? { keyStore: receipt.settings } : receipt.settings),
    keys: receipt.keys,
  },
});

const scannedStores = ({ scan }: VaultEvidence) => scan.stores.filter((store) => store.scanned);

/** True when the scanner found every planted copy before and none after: only then does its silence say anything. */
export function isScanProven(evidence: VaultEvidence): boolean {
  const plants = scannedStores(evidence).map(({ planted }) => planted);
  return (
    plants.some(({ placed }) => placed > 0) &&
    plants.every(({ placed, foundBefore, foundAfter }) => foundBefore === placed && foundAfter === 0)
  );
}

/** Occurrences of the person's bytes after the erasure. */
export const residues = ({ scan }: VaultEvidence): number =>
  scan.needles.reduce((sum, needle) => sum + needle.found, 0);

/** @returns null where the scan proves nothing: the certificate is then partial */
export function scanReport(evidence: VaultEvidence): ScanReport | null {
  const { needles } = evidence.scan;
  const scanned = scannedStores(evidence);
  if (!isScanProven(evidence) || needles.length === 0) return null;
  return {
    stores: scanned.map(({ name, bytes, planted }) => ({
      store: name,
      bytesScanned: bytes,
      planted: planted.placed,
      plantedFoundBefore: planted.foundBefore,
      plantedFoundAfter: planted.foundAfter,
    })),
    bytesScanned: scanned.reduce((sum, { bytes }) => sum + bytes, 0),
    needles: needles.map(({ kind, count, found }) => ({
      kind: kind.toUpperCase().replaceAll('-', '_'),
      needles: count,
      found,
    })),
  };
}

/** Sentences about stores that nobody could look into. */
export const unscannedStores = ({ scan }: VaultEvidence): string[] =>
  scan.stores
    .filter((store) => !store.scanned)
    .map(({ name, reason }) => `The store "${name}" was not scanned: ${reason || 'no reason was given'}.`);
