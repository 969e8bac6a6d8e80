/** The manifest: what an index consists of. Whoever commits it (an event, a file) makes the state that it names the index's state. */
import { canonicalJson, parseCanonicalJson, utf8 } from '@lethe/std';
import { INDEX } from './errors.ts';

export interface SegmentRef {
  /** Where the store has it. */
  readonly reference: string;
  /** SHA-256 of its bytes, hex. */
  readonly digest: string;
  /** RFC 6962 root over its entries, hex. */
  readonly root: string;
  readonly rows: number;
  readonly erased: number;
  readonly bytes: number;
}

export interface IndexManifest {
  readonly format: 'lethe-code-index-v1';
  readonly codeBits: number;
  readonly classes: number;
  /** Entries, erased ones included. */
  readonly size: number;
  /** RFC 6962 root over all entries, hex. */
  readonly root: string;
  /** 1, 2, …: raised by every re-encoding of entries that were there, and by nothing else. */
  readonly ledgerVersion: number;
  /** Sequence of the last fact that the index reflects, decimal. */
  readonly applied: string;
  /** In order; all but the last have 65,536 rows. */
  readonly segments: readonly SegmentRef[];
}

export const encodeManifest = (manifest: IndexManifest): Uint8Array => utf8(canonicalJson(manifest));

/** Strict inverse of `encodeManifest`; what it says of its segments is checked by `CodeIndex.open`. @throws LETHE-2603 */
export function decodeManifest(bytes: Uint8Array): IndexManifest {
  try {
    const value = parseCanonicalJson(bytes) as IndexManifest;
    if (value.format === 'lethe-code-index-v1' && Array.isArray(value.segments)) return value;
  } catch (cause) {
    throw INDEX.MANIFEST_INVALID('these bytes are no canonical JSON', { cause });
  }
  throw INDEX.MANIFEST_INVALID('these bytes are no manifest of this format');
}
