/**
 * Codes in PostgreSQL with pgvector's `<~>` (Hamming distance of `bit(K)`, pgvector 0.7 and newer): for a team that has such a
 * database and wants one place for its data. The same questions as the index's, with its filters, and the same answers in the same order.
 *
 * It erases less than the index does. DELETE marks a row as dead; VACUUM frees its place for other rows but does not overwrite it at
 * once; the write-ahead log, its archive, replicas and base backups keep the row until they are recycled, and PostgreSQL tells
 * nobody when that is. So `erase` gives what was done and what may remain, and refuses where an exact erasure is demanded. There is
 * no ledger here either: no root, no proofs.
 *
 * The scan is exact: ORDER BY distance, then id, without an approximate index (an HNSW index would drop neighbours and order ties as
 * it pleases).
 */
import { ITEM_ID_BYTES, labelBytes } from '@lethe/hashing';
import type { Pool } from 'pg';
import { checkBatch } from './batch.ts';
import { INDEX } from './errors.ts';
import type { EntryBatch, SearchFilter } from './types.ts';

/** What the table's columns can tell; it has no leaves of a ledger, so `excludedItems` is refused (LETHE-2609). */
export type PgFilter = Pick<
  SearchFilter,
  'modalities' | 'labelsAny' | 'labelsAll' | 'fnVersions' | 'excludedOwners'
>;

/** Shape of the rows, as of the index's. */
export interface PgShape {
  /** 8, 16, … 256. */
  readonly codeBits: number;
  /** Declared classes, 1 and more. */
  readonly classes: number;
}

export interface PgNeighbour {
  /** 16 bytes. */
  readonly itemId: Uint8Array;
  readonly distance: number;
}

export interface PgErasure {
  readonly rows: number;
  /** What PostgreSQL may still hold, in plain words: to be told with the claim. */
  readonly mayRemain: readonly string[];
}

const MAY_REMAIN = [
  'bytes of dead tuples in pages of the table and of its index until others take their place',
  'write-ahead log segments, their archive, replicas and base backups until they are recycled',
] as const;

export class PgVectorCodes {
  readonly #pool: Pick<Pool, 'query'>;
  readonly #table: string;
  readonly #shape: PgShape;

  private constructor(pool: Pick<Pool, 'query'>, table: string, shape: PgShape) {
    this.#pool = pool;
    this.#table = table;
    this.#shape = shape;
  }

  /**
   * Makes the table where it is not there. The extension must be: `CREATE EXTENSION vector` is the administrator's to do.
   * @param pool outside of any transaction, for `erase` vacuums  @param table lower-case letters, digits and _, at most 63
   * @throws LETHE-2609, LETHE-2612
   */
  static async open(pool: Pick<Pool, 'query'>, table: string, shape: PgShape): Promise<PgVectorCodes> {
    const { codeBits, classes } = shape;
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(table)) throw INDEX.OPTION_INVALID('this is no name of a table');
    if (codeBits % 8 !== 0 || !(codeBits >= 8 && codeBits <= 256)) {
      throw INDEX.OPTION_INVALID('codeBits is none of 8, 16, … 256', { details: { codeBits } });
    }
    if (!Number.isInteger(classes) || classes < 1) {
      throw INDEX.OPTION_INVALID('classes is not a positive integer', { details: { classes } });
    }
    await told('make the table', () =>
      pool.query(
        `CREATE TABLE IF NOT EXISTS "${table}" (id bytea PRIMARY KEY CHECK (length(id) = ${ITEM_ID_BYTES}), code bit(${codeBits}) NOT NULL,
         fn_version bigint NOT NULL, modality smallint NOT NULL, labels integer[] NOT NULL, owner text NOT NULL)`,
      ),
    );
    return new PgVectorCodes(pool, table, shape);
  }

  /** All or none; salts are left out, for there is no ledger. @throws LETHE-2608, LETHE-2612 an item is there already, too */
  async addAll(batch: EntryBatch): Promise<void> {
    const count = checkBatch(batch, this.#shape);
    const { codeBits, classes } = this.#shape;
    const width = codeBits / 8;
    const mask = labelBytes(classes);
    const rows = Array.from({ length: count }, (_, i) => i);
    await told('add codes', () =>
      this.#pool.query(
        `INSERT INTO "${this.#table}" SELECT id, code::bit(${codeBits}), fn_version, modality, labels::integer[], owner
         FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::smallint[], $5::text[], $6::text[]) AS rows(id, code, fn_version, modality, labels, owner)`,
        [
          rows.map((i) => Buffer.from(batch.ids.subarray(i * ITEM_ID_BYTES, (i + 1) * ITEM_ID_BYTES))),
          rows.map((i) => bitsOf(batch.codes.subarray(i * width, (i + 1) * width))),
          Array.from(batch.fnVersions),
          Array.from(batch.modalities),
          rows.map((i) => `{${classesIn(batch.labels.subarray(i * mask, (i + 1) * mask)).join(',')}}`),
          Array.from(batch.owners, (owner) => batch.aliases[owner]),
        ],
      ),
    );
  }

  /** The k nearest by (distance, item id). @throws LETHE-2608, LETHE-2609, LETHE-2612 */
  async search(query: Uint8Array, k: number, filter?: PgFilter): Promise<PgNeighbour[]> {
    if (!Number.isInteger(k) || k < 1) throw INDEX.OPTION_INVALID('k is not a positive integer');
    return await this.#nearest(query, this.#shape.codeBits, k, filter);
  }

  /** All within the radius, by (distance, item id). @throws LETHE-2608, LETHE-2609, LETHE-2612 */
  async range(query: Uint8Array, radius: number, filter?: PgFilter): Promise<PgNeighbour[]> {
    const { codeBits } = this.#shape;
    if (!Number.isInteger(radius) || radius < 0 || radius > codeBits) {
      throw INDEX.OPTION_INVALID(`the radius is not within 0..${codeBits}`);
    }
    return await this.#nearest(query, radius, null, filter);
  }

  /**
   * Deletes the rows and vacuums the table. Items that are not there are no error: an erasure may be repeated.
   * @param demand `exact` is refused: see above what PostgreSQL keeps  @throws LETHE-2612, LETHE-2613
   */
  async erase(itemIds: readonly Uint8Array[], demand: 'exact' | 'best-effort'): Promise<PgErasure> {
    if (demand === 'exact') {
      throw INDEX.ERASURE_NOT_EXACT('PostgreSQL does not say when the bytes of a deleted row are gone');
    }
    const ids = itemIds.map((id) => Buffer.from(id));
    const deleted = await told('delete codes', () =>
      this.#pool.query(`DELETE FROM "${this.#table}" WHERE id = ANY($1::bytea[])`, [ids]),
    );
    // Without INDEX_CLEANUP a vacuum of few dead rows in a large table leaves their ids in the primary key's pages (seen on PostgreSQL 15).
    await told('vacuum the table', () => this.#pool.query(`VACUUM (INDEX_CLEANUP ON) "${this.#table}"`));
    return { rows: deleted.rowCount ?? 0, mayRemain: MAY_REMAIN };
  }

  async #nearest(
    query: Uint8Array,
    radius: number,
    k: number | null,
    { modalities, labelsAny, labelsAll, fnVersions, excludedOwners, ...others }: PgFilter = {},
  ): Promise<PgNeighbour[]> {
    const { codeBits, classes } = this.#shape;
    // A filter of the index's may come here past the types; with a condition left out it would give away what it is to hide.
    for (const [name, value] of Object.entries(others)) {
      if (value !== undefined) throw INDEX.OPTION_INVALID(`the table cannot filter by ${name}`);
    }
    if (8 * query.length !== codeBits) {
      throw INDEX.BATCH_INVALID(`a code of this table has ${codeBits / 8} bytes`);
    }
    const values: unknown[] = [bitsOf(query), radius, k];
    const conditions: string[] = [];
    const demand = (list: unknown, condition: (parameter: string) => string): void => {
      if (list !== undefined) conditions.push(`AND ${condition(`$${values.push(list)}`)}`);
    };
    demand(upTo(0xff, modalities), (list) => `modality = ANY(${list}::smallint[])`);
    demand(upTo(0xffff_ffff, fnVersions), (list) => `fn_version = ANY(${list}::bigint[])`);
    demand(upTo(classes - 1, labelsAny), (list) => `labels && ${list}::integer[]`);
    demand(upTo(classes - 1, labelsAll), (list) => `labels @> ${list}::integer[]`);
    demand(excludedOwners && [...excludedOwners], (list) => `owner <> ALL(${list}::text[])`);
    const { rows } = await told('search codes', () =>
      this.#pool.query<{ id: Buffer; distance: number }>(
        `SELECT id, distance FROM (SELECT *, (code <~> $1::text::bit(${codeBits}))::float8 AS distance FROM "${this.#table}") AS all_codes
         WHERE distance <= $2 ${conditions.join(' ')} ORDER BY distance, id LIMIT $3`,
        values,
      ),
    );
    return rows.map(({ id, distance }) => ({ itemId: new Uint8Array(id), distance }));
  }
}

/** -1, which is on no item, for what the column cannot hold (1.5, 1e300, NaN, a class that is not declared): as in the index it is no error. */
const upTo = (last: number, list: readonly number[] | undefined): number[] | undefined =>
  list?.map((value) => (Number.isInteger(value) && value >= 0 && value <= last ? value : -1));

/** Classes of a mask, ascending. */
const classesIn = (mask: Uint8Array): number[] =>
  Array.from({ length: 8 * mask.length }, (_, label) => label).filter(
    (label) => ((mask[label >> 3]! >> (label & 7)) & 1) === 1,
  );

/** `bit(K)` as text. Which bit comes first does not matter to a distance; it is the same for all. */
const bitsOf = (code: Uint8Array): string =>
  Array.from(code, (byte) => byte.toString(2).padStart(8, '0')).join('');

/** Errors of the database name constraints and codes; messages may hold values and are kept as the cause only. */
async function told<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw INDEX.DATABASE_FAILED(`the database did not ${what}`, { details: { code }, cause });
  }
}
