/** A dataset as the fold of its events: its specification and the roots committed so far. Pure. */
import { EVENT, type events } from '@lethe/contracts';
import { defineAggregate, newEvent } from '@lethe/events';
import { hex } from '@lethe/std';

export interface CommittedRoot {
  readonly number: number;
  readonly root: string;
  readonly recordCount: number;
  readonly lastPosition: number;
  /** When it was committed, milliseconds since 1970: part of the log's statement about it. */
  readonly atMs: number;
  /** Id of the event, by which a repeated request finds its root. */
  readonly eventId: string;
}

export interface Dataset {
  readonly spec: Uint8Array | undefined;
  readonly specDigest: string;
  readonly createdMs: number;
  readonly roots: readonly CommittedRoot[];
}

export const dataset = defineAggregate({
  type: 'dataset',
  events: [EVENT.datasetCreated, EVENT.datasetRootCommitted],
  initial: (): Dataset => ({ spec: undefined, specDigest: '', createdMs: 0, roots: [] }),
  fold: (state, event): Dataset => {
    if (event.type === 'dataset.created') {
      return { ...state, spec: event.data.spec, specDigest: event.data.specDigest, createdMs: event.timeMs };
    }
    const { number, rootHash, recordCount, lastPosition } = event.data;
    const root: CommittedRoot = {
      number,
      root: hex(rootHash),
      recordCount: Number(recordCount),
      lastPosition: Number(lastPosition),
      atMs: event.timeMs,
      eventId: event.id,
    };
    return { ...state, roots: [...state.roots, root] };
  },
});

/** The event that commits what is present now, unless this very request has done so before. */
export function commitRoot(
  state: Dataset,
  name: string,
  present: { readonly root: Uint8Array; readonly count: number; readonly lastPosition: number },
  eventId: string,
  erasure: string,
) {
  if (state.roots.some((root) => root.eventId === eventId)) return [];
  const number = state.roots.length + 1;
  const data: events.DatasetRootCommitted = {
    root: `${name}/roots/${number}`,
    number,
    rootHash: present.root,
    recordCount: BigInt(present.count),
    lastPosition: BigInt(present.lastPosition),
    erasure,
  };
  return [newEvent(EVENT.datasetRootCommitted, data, eventId)];
}
