/**
 * The tokenizer of Universal Sentence Encoder Lite: unigram pieces of SentencePiece (Kudo, "Subword Regularization", arXiv 1804.10959, section 3.2: the most
 * probable segmentation, found by Viterbi). Text is NFKC, a space is U+2581, and one stands before the first
 * word. As in SentencePiece itself, spaces that follow one another are one; the published TensorFlow.js tokenizer keeps them.
 */

/** [piece, log probability] by id. Ids below RESERVED are marks that no text contains. */
export type Vocabulary = readonly (readonly [piece: string, score: number])[];

const RESERVED = 6;
const SPACE = '\u2581';
/** A character without a piece is the id 0; what it costs only keeps it the last resort. */
const UNKNOWN_PENALTY = 10;

export class UseTokenizer {
  readonly #ids = new Map<string, number>();
  readonly #scores: readonly number[];
  readonly #longest: number;
  readonly #unknown: number;

  constructor(vocabulary: Vocabulary) {
    for (const [id, [piece]] of vocabulary.entries()) if (id >= RESERVED) this.#ids.set(piece, id);
    this.#scores = vocabulary.map(([, score]) => score);
    this.#longest = Math.max(1, ...[...this.#ids.keys()].map((piece) => [...piece].length));
    this.#unknown = Math.min(0, ...this.#scores) - UNKNOWN_PENALTY;
  }

  /** Ids of the pieces, in order; characters without a piece that stand together are one 0. An empty text has no pieces. */
  encode(text: string): number[] {
    const normal = text.normalize('NFKC').trim().replace(/\s+/gu, SPACE);
    if (normal === '') return [];
    const characters = [...`${SPACE}${normal}`];
    const best = new Float64Array(characters.length + 1).fill(Number.NEGATIVE_INFINITY);
    const from = new Int32Array(characters.length + 1);
    const ids = new Int32Array(characters.length + 1);
    best[0] = 0;
    for (let start = 0; start < characters.length; start++) {
      let piece = '';
      for (let end = start + 1; end <= Math.min(characters.length, start + this.#longest); end++) {
        piece += characters[end - 1];
        const id = this.#ids.get(piece);
        if (id === undefined && end > start + 1) continue;
        const score = best[start]! + (id === undefined ? this.#unknown : this.#scores[id]!);
        if (score > best[end]!) {
          best[end] = score;
          from[end] = start;
          ids[end] = id ?? 0;
        }
      }
    }
    const tokens: number[] = [];
    for (let end = characters.length; end > 0; end = from[end]!) {
      if (ids[end] !== 0 || tokens.at(-1) !== 0) tokens.push(ids[end]!);
    }
    return tokens.reverse();
  }
}
