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
    /** Leaves of others that left and came between the two roots; where absent, one of them is taken as 0. */
    readonly removedWithIt?: number;
    readonly added?: number;
  }[];
  readonly keyReceipt: {
    readonly keyIdDigest: string;
    readonly keys: number;
    readonly destroyedAt: string;
    readonly method: string;
    readonly settings: Details;
  };
  readonly scan: {
    readonly stores: readonly {
      readonly name: string;
      readonly bytes: number;
      readonly files: number;
      readonly scanned: boolean;
      readonly reason?: string;
    }[];
    readonly bytesScanned: number;
    readonly needles: readonly { readonly kind: string; readonly count: number; readonly found: number }[];
    readonly planted: EvidencePlants;
  };
}

/** @throws LETHE-4509 */
export function parseEvidence(bytes: Uint8Array): VaultEvidence {
  const value = parseCanonicalJson(bytes) as Partial<VaultEvidence> | null;
  const sound =
    Array.isArray(value?.datasets) &&
    typeof value.keyReceipt === 'object' &&
    Array.isArray(value.scan?.stores) &&
    Array.isArray(value.scan.needles) &&
    typeof value.scan.planted === 'object';
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
  datasets.map(({ name, rootBefore, rootAfter, removed, removedWithIt, added }) => {
    const others = rootAfter.count - rootBefore.count + removed.length;
    return {
      dataset: name,
      rootBefore: rootBefore.root,
      rootAfter: rootAfter.root,
      countBefore: rootBefore.count,
      countAfter: rootAfter.count,
      removedWithIt: removedWithIt ?? Math.max(0, (added ?? 0) - others),
      added: added ?? Math.max(0, others + (removedWithIt ?? 0)),
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
  settings: { ...receipt.settings, keys: receipt.keys },
});

/** True when the scanner found every planted copy before and none after: only then does its silence say anything. */
export const isScanProven = ({ scan: { planted } }: VaultEvidence): boolean =>
  planted.placed > 0 && planted.foundBefore === planted.placed && planted.foundAfter === 0;

/** Occurrences of the person's bytes after the erasure. */
export const residues = ({ scan }: VaultEvidence): number =>
  scan.needles.reduce((sum, needle) => sum + needle.found, 0);

/**
 * The vault counts planted copies over all stores together; the body counts them per store. They stand as an entry of their own
 * that adds no bytes. @returns null where the scan proves nothing: the certificate is then partial
 */
export function scanReport(evidence: VaultEvidence): ScanReport | null {
  if (!isScanProven(evidence)) return null;
  const { stores, needles, planted } = evidence.scan;
  const scanned = stores.filter((store) => store.scanned);
  const store = (name: string, bytesScanned: number, plants: EvidencePlants) => ({
    store: name,
    bytesScanned,
    planted: plants.placed,
    plantedFoundBefore: plants.foundBefore,
    plantedFoundAfter: plants.foundAfter,
  });
  return {
    stores: [
      ...scanned.map(({ name, bytes }) => store(name, bytes, { placed: 0, foundBefore: 0, foundAfter: 0 })),
      store('planted copies in all stores', 0, planted),
    ],
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
