/** One pass over memory: what a thread does, whether it is alone or one of several. */
import { Best, type Candidate } from './best.ts';
import { Chunks } from './chunks.ts';

export interface Pass {
  /** At most `QUERIES_A_PASS`, K / 8 bytes each. */
  readonly queries: readonly Uint8Array[];
  readonly k: number;
  /** Largest distance of interest. */
  readonly limit: number;
  /** Lanes 0..lanes are looked at. */
  readonly lanes: number;
  /** Whether the filter bits beside the codes count. */
  readonly filtered: boolean;
}

/**
 * All queries over one chunk, then the next chunk: codes come from memory once and from the second-level cache after.
 * @param thread whose slots to use  @param nextChunk ascending numbers; those beyond the end are none
 * @returns for every query the k best of the chunks that were given, in order
 */
export function scanPass(chunks: Chunks, thread: number, pass: Pass, nextChunk: () => number): Candidate[][] {
  const { k, limit, lanes, filtered } = pass;
  const searches = pass.queries.map((query, i) => {
    const slot = Chunks.slot(thread, i);
    chunks.open(slot, query, k, limit);
    const best = new Best(chunks, k, query);
    const drain = () => chunks.drain(slot, (lane, distance) => best.offer(lane, distance));
    return { slot, best, drain };
  });
  // Four at a time as far as they go.
  const fours = chunks.fours ? Math.floor(searches.length / 4) : 0;
  const groups = Array.from({ length: fours }, (_, i) => {
    const four = searches.slice(4 * i, 4 * i + 4);
    const drain = () => {
      for (const search of four) search.drain();
    };
    return { slot: four[0]!.slot, drain };
  });
  const rest = searches.slice(4 * fours);
  for (let chunk = nextChunk(); chunk < chunks.count(lanes); chunk = nextChunk()) {
    for (const { slot, drain } of groups) chunks.scanFour(slot, chunk, lanes, filtered, drain);
    for (const { slot, drain } of rest) chunks.scan(slot, chunk, lanes, filtered, drain);
  }
  return searches.map(({ slot, best, drain }) => {
    drain();
    chunks.shut(slot);
    // Distances 255 and 256 are one to the kernel.
    return best.take().filter(({ distance }) => distance <= limit);
  });
}
