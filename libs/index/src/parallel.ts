/** Loads items with up to `limit` under way and takes them in their order. The first failure ends it. */
export async function inTurn<T, R>(
  items: readonly T[],
  limit: number,
  load: (item: T, index: number) => Promise<R>,
  take: (loaded: R, index: number) => void,
): Promise<void> {
  const under: Promise<R>[] = [];
  let next = 0;
  for (let index = 0; index < items.length; index++) {
    for (; next < items.length && next < index + limit; next++) {
      const loading = load(items[next]!, next);
      // It is awaited in its turn; one that fails before must not count as unhandled.
      loading.catch(() => undefined);
      under.push(loading);
    }
    take(await under.shift()!, index);
  }
}

/** Runs `work` for all items, `limit` at a time; after a failure no further ones are begun. */
export async function settled<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<PromiseSettledResult<R>[]> {
  const results: PromiseSettledResult<R>[] = [];
  for (let at = 0; at < items.length; at += limit) {
    results.push(...(await Promise.allSettled(items.slice(at, at + limit).map(work))));
    if (results.some(({ status }) => status === 'rejected')) break;
  }
  return results;
}
