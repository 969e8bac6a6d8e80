/**
 * The transparency log of a tenant: RFC 6962 leaves in the order of their events. No snapshots: a proof needs every leaf's hash
 * and a reader may ask for any statement, so the state is the whole log, which a snapshot message could not hold for long.
 */
import { EVENT } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';
import { leafHash } from '@lethe/merkle';
import { assert } from '@lethe/std';
import { type Statement, statementDigest } from './statements.ts';

export interface LogEntry {
  /** The leaf's data: a statement in canonical JSON. */
  readonly data: Uint8Array;
  readonly statement: Statement;
  /** SHA-256 of `data`, hex. */
  readonly digest: string;
  /** RFC 6962 leaf hash. */
  readonly leafHash: Uint8Array;
}

export interface LogState {
  /** Index in the list = index in the tree. */
  readonly entries: readonly LogEntry[];
}

/** Id of the one log aggregate of a tenant. */
export const LOG_ID = 'log';

export const logAggregate = defineAggregate({
  type: 'log',
  events: [EVENT.logAppended],
  initial: (): LogState => ({ entries: [] }),
  fold: ({ entries }, { data }): LogState => {
    assert(
      Number(data.index) === entries.length,
      `log entry ${data.index} follows ${entries.length} entries`,
    );
    const entry: LogEntry = {
      data: data.statement,
      statement: JSON.parse(new TextDecoder().decode(data.statement)) as Statement,
      digest: statementDigest(data.statement),
      leafHash: leafHash(data.statement),
    };
    return { entries: [...entries, entry] };
  },
});

/** Index of the statement with this digest, -1 where there is none. */
export const indexOfDigest = ({ entries }: LogState, digest: string): number =>
  entries.findIndex((entry) => entry.digest === digest);
