/**
 * Everything secret about an audit follows from one 256-bit seed, which is a key in the vault: the coin key, the canaries'
 * ids, patterns and labels, and the key that seals their aliases. So the "own copies" are that key alone; a crash while canaries
 * are ingested repeats the same ones; and destroying the key destroys all of it. The generator is a seeded one (AES-256-CTR under the
 * seed): as good as the secrecy of the seed, which comes from the vault's secure source.
 */
import { type CanarySpec, generateCanary } from '@lethe/auditing';
import {
  type DatasetSpec,
  encodePayload,
  type FieldSpec,
  type FieldValue,
  vectorSize,
} from '@lethe/datasets';
import { assert, base32, hex, type RandomSource, seededRandom, sha256 } from '@lethe/std';

/** What a canary is called; belongs to nobody. */
export interface CanaryId {
  readonly subjectId: string;
  readonly recordId: string;
}

export interface PlannedCanary extends CanaryId {
  readonly label: number;
  readonly payload: Uint8Array;
}

export type CanaryPattern = Pick<CanarySpec, 'pattern' | 'density'>;

const derived = (seed: Uint8Array, what: string, index = 0): RandomSource =>
  seededRandom('lethe-audit-v1', hex(seed), what, index);

/** 32 bytes; its SHA-256 is registered, and it is revealed with the report. */
export const coinKey = (seed: Uint8Array): Uint8Array => derived(seed, 'coin-key').bytes(32);

/** 32 bytes for what is stored besides: it dies with the seed. */
export const sealingKey = (seed: Uint8Array): Uint8Array => sha256(`lethe-audit-v1|sealing-key|${hex(seed)}`);

export function canaryIds(seed: Uint8Array, count: number): CanaryId[] {
  const random = derived(seed, 'ids');
  return Array.from({ length: count }, () => ({
    subjectId: `canary-${base32(random.bytes(16))}`,
    recordId: `canary-${base32(random.bytes(16))}`,
  }));
}

/** Canaries over whatever the dataset declares: a random pattern with a random label each. */
export function planCanaries(
  seed: Uint8Array,
  count: number,
  spec: DatasetSpec,
  pattern: CanaryPattern,
): PlannedCanary[] {
  const features = spec.fields.reduce((sum, field) => sum + elements(field), 0);
  return canaryIds(seed, count).map((id, index) => {
    const canary = generateCanary(
      { ...pattern, features, low: 0, high: 1, classes: spec.label.classes.length },
      derived(seed, 'canary', index),
    );
    let at = 0;
    const values = spec.fields.map((field) => {
      const size = elements(field);
      const value = fieldValue(field, canary.features.subarray(at, at + size));
      at += size;
      return value;
    });
    const payload = encodePayload(spec, { values, label: canary.label });
    return { ...id, label: canary.label, payload };
  });
}

const elements = (field: FieldSpec): number => (field.kind === 'numeric-vector' ? vectorSize(field) : 1);

/** Shares in [0, 1) stretched over the field's declared range. */
function fieldValue(field: FieldSpec, shares: Float32Array): FieldValue {
  assert(shares.length > 0, 'a field has at least one element');
  if (field.kind === 'categorical') {
    return Math.min(Math.floor(shares[0]! * field.categories.length), field.categories.length - 1);
  }
  const { min, max } = field;
  const stretch = (share: number): number => Math.min(max, min + (max - min) * share) + 0;
  if (field.kind === 'numeric') return stretch(shares[0]!);
  if (field.element === 'uint8') return Uint8Array.from(shares, (share) => Math.round(stretch(share)));
  return shares.map(stretch);
}
