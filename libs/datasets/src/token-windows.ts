/** Text for language models over bytes: 256 tokens, no tokenizer that would have been fitted on somebody's text. */
import { assert, seededRandom, shuffle, utf8 } from '@lethe/std';

/** Consecutive pieces of texts; a model reads the first `length` tokens of a window and predicts the last `length`. */
export interface TokenWindows {
  readonly length: number;
  /** [count, length + 1], row-major. */
  readonly tokens: Uint8Array;
  /** [count], index of the author of each window. */
  readonly authors: Uint16Array;
}

export interface AuthoredText {
  readonly author: string;
  readonly text: string;
}

/**
 * Windows of one text. Neighbours share one byte, the last of one and the first of the next, so that every byte but the first is predicted
 * exactly once; a rest that fills no window is dropped.
 * @returns [count, length + 1], row-major
 */
export function tokenWindows(bytes: Uint8Array, length: number): Uint8Array {
  assert(Number.isInteger(length) && length >= 1, 'a window has at least one token');
  const count = Math.max(0, Math.floor((bytes.length - 1) / length));
  const out = new Uint8Array(count * (length + 1));
  for (let w = 0; w < count; w++) out.set(bytes.subarray(w * length, (w + 1) * length + 1), w * (length + 1));
  return out;
}

/** Windows that are held out together: neighbouring sentences are too alike to be told apart. */
const WINDOWS_PER_BLOCK = 64;

/**
 * Cuts texts into blocks of 64 windows and holds out every author's share of blocks, the same ones in every process. The split is
 * within authors: time, style and topic are those of the author, so that held-out text of other authors would measure them instead.
 * Blocks share no byte. An author with a single block has nothing held out.
 * @param length tokens that a model reads at once  @param share of every author's blocks, rounded down
 */
export function splitWithinAuthors(
  texts: readonly AuthoredText[],
  length: number,
  share: number,
): { readonly authors: readonly string[]; readonly train: TokenWindows; readonly heldOut: TokenWindows } {
  const byAuthor = Map.groupBy(texts, ({ author }) => author);
  const authors = [...byAuthor.keys()].sort();
  const bytesPerBlock = WINDOWS_PER_BLOCK * length + 1;
  const parts = { train: [], heldOut: [] } as Record<
    'train' | 'heldOut',
    { author: number; windows: Uint8Array }[]
  >;
  for (const [index, author] of authors.entries()) {
    const blocks = byAuthor.get(author)!.flatMap(({ text }) => {
      const bytes = utf8(text);
      return Array.from({ length: Math.ceil(bytes.length / bytesPerBlock) }, (_, block) =>
        tokenWindows(bytes.subarray(block * bytesPerBlock, (block + 1) * bytesPerBlock), length),
      );
    });
    const away = new Set(
      shuffle([...blocks.keys()], seededRandom('lethe', 'datasets', 'held-out blocks', author)).slice(
        0,
        Math.floor(blocks.length * share),
      ),
    );
    for (const [block, windows] of blocks.entries())
      parts[away.has(block) ? 'heldOut' : 'train'].push({ author: index, windows });
  }
  const joined = (part: (typeof parts)['train']): TokenWindows => {
    const tokens = new Uint8Array(part.reduce((sum, { windows }) => sum + windows.length, 0));
    const of = new Uint16Array(tokens.length / (length + 1));
    let at = 0;
    for (const { author, windows } of part) {
      tokens.set(windows, at);
      of.fill(author, at / (length + 1), (at + windows.length) / (length + 1));
      at += windows.length;
    }
    return { length, tokens, authors: of };
  };
  return { authors, train: joined(parts.train), heldOut: joined(parts.heldOut) };
}
