/** What a trained federation keeps, sealed: it knows which record belongs to whom. */
import { base64, canonicalJson, fromBase64, parseCanonicalJson, utf8 } from '@lethe/std';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '@lethe/vertical';

export interface AlignedRow {
  readonly recordId: string;
  readonly alias: string;
  /** null for a row that was left out of training: a canary, one without a label, or one that came under a later root. */
  readonly label: number | null;
}

export interface FederationState {
  readonly version: number;
  readonly classes: number;
  /** Hex: with rows and specification all that a replay needs. */
  readonly orderKey: string;
  readonly rows: readonly AlignedRow[];
  readonly top: Checkpoint;
}

interface Stored extends Omit<FederationState, 'top'> {
  readonly format: 'lethe-federation-state-v1';
  readonly top: string;
}

export const encodeState = (state: FederationState): Uint8Array =>
  utf8(
    canonicalJson({
      ...state,
      format: 'lethe-federation-state-v1',
      top: base64(encodeCheckpoint(state.top)),
    } satisfies Stored),
  );

/** @throws LETHE-1003, LETHE-3507 */
export function decodeState(bytes: Uint8Array): FederationState {
  const { version, classes, orderKey, rows, top } = parseCanonicalJson(bytes) as Stored;
  return { version, classes, orderKey, rows, top: decodeCheckpoint(fromBase64(top)) };
}

/** Record ids that training uses, in the order that batch orders refer to, with their labels. */
export const trainingLabels = (rows: readonly AlignedRow[]): Map<string, number> =>
  new Map(rows.flatMap(({ recordId, label }) => (label === null ? [] : [[recordId, label]])));
