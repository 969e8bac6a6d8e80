/** The manifest: what an index consists of. Whoever commits it (an event, a file) makes the state that it names the index's state. */
import { SEGMENT_ROWS } from '@lethe/hashing';
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

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

/** Refuses a manifest whose parts do not fit each other; its roots are the index's to check. @throws LETHE-2603 */
export function checkManifest(manifest: IndexManifest): void {
  const { codeBits, classes, size, root, ledgerVersion, applied, segments } = manifest;
  const invalid = (what: string) => INDEX.MANIFEST_INVALID(`this manifest cannot be: ${what}`);
  if (!isCount(codeBits) || codeBits % 8 !== 0 || codeBits < 8 || codeBits > 256) {
    throw invalid('codeBits is none of 8, 16, … 256');
  }
  if (!isCount(classes) || classes > 0xffff) throw invalid('classes is not in 0..65,535');
  if (!isCount(size) || !isDigest(root)) throw invalid('size or root is malformed');
  if (!isCount(ledgerVersion) || ledgerVersion < 1) throw invalid('ledgerVersion is not 1 or more');
  if (typeof applied !== 'string' || !/^(0|[1-9][0-9]{0,19})$/.test(applied))
    throw invalid('applied is no sequence');
  let rows = 0;
  for (const [number, ref] of segments.entries()) {
    const whole = number === segments.length - 1 || ref.rows === SEGMENT_ROWS;
    const counts =
      [ref.rows, ref.erased, ref.bytes].every(isCount) && ref.rows > 0 && ref.rows <= SEGMENT_ROWS;
    if (
      typeof ref.reference !== 'string' ||
      !isDigest(ref.digest) ||
      !isDigest(ref.root) ||
      !counts ||
      !whole
    ) {
      throw INDEX.MANIFEST_INVALID(`this manifest cannot be: what it says of segment ${number}`, {
        details: { segment: number },
      });
    }
    rows += ref.rows;
  }
  if (rows !== size) throw invalid(`its segments have ${rows} entries, not ${size}`);
}
