/**
 * Codes in PostgreSQL with pgvector's `<~>` (Hamming distance of `bit(K)`, pgvector 0.7 and newer): for a team that has such a
 * database and wants one place for its data. The same questions as the index's and the same answers, in the same order.
 *
 * It erases less than the index does. DELETE marks a row as dead; VACUUM frees its place for other rows but does not overwrite it at
 * once; the write-ahead log, its archive, replicas and base backups keep the row until they are recycled, and PostgreSQL tells
 * nobody when that is. So `erase` gives what was done and what may remain, and refuses where an exact erasure is demanded. There is
 * no ledger here either: no root, no proofs.
 *
 * The scan is exact: ORDER BY distance, then id, without an approximate index (an HNSW index would drop neighbours and order ties as
 * it pleases).
 */
import { ITEM_ID_BYTES } from '@lethe/hashing';
import type { Pool } from 'pg';
import { INDEX } from './errors.ts';

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
  'dead tuples in pages of the table until another row takes their place',
  'write-ahead log segments, their archive, replicas and base backups until they are recycled',
] as const;

export class PgVectorCodes {
  readonly #pool: Pick<Pool, 'query'>;
  readonly #table: string;
  readonly #codeBits: number;

  private constructor(pool: Pick<Pool, 'query'>, table: string, codeBits: number) {
    this.#pool = pool;
    this.#table = table;
    this.#codeBits = codeBits;
  }

  /**
   * Makes the table where it is not there. The extension must be: `CREATE EXTENSION vector` is the administrator's to do.
   * @param table lower-case letters, digits and _, at most 63  @throws LETHE-2609, LETHE-2612
   */
  static async open(pool: Pick<Pool, 'query'>, table: string, codeBits: number): Promise<PgVectorCodes> {
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(table)) throw INDEX.OPTION_INVALID('this is no name of a table');
    if (codeBits % 8 !== 0 || !(codeBits >= 8 && codeBits <= 256)) {
      throw INDEX.OPTION_INVALID('codeBits is none of 8, 16, … 256', { details: { codeBits } });
    }
    await told('make the table', () =>
      pool.query(
        `CREATE TABLE IF NOT EXISTS "${table}" (id bytea PRIMARY KEY CHECK (length(id) = ${ITEM_ID_BYTES}), code bit(${codeBits}) NOT NULL)`,
      ),
    );
    return new PgVectorCodes(pool, table, codeBits);
  }

  /** All or none. @param ids [n, 16]  @param codes [n, K / 8]  @throws LETHE-2608, LETHE-2612 an item is there already, too */
  async addAll(ids: Uint8Array, codes: Uint8Array): Promise<void> {
    const count = ids.length / ITEM_ID_BYTES;
    const width = this.#codeBits / 8;
    if (!Number.isInteger(count) || codes.length !== count * width) {
      throw INDEX.BATCH_INVALID('ids and codes do not fit each other', { details: { width } });
    }
    const rows = Array.from({ length: count }, (_, i) => i);
    await told('add codes', () =>
      this.#pool.query(
        `INSERT INTO "${this.#table}" SELECT id, code::bit(${this.#codeBits}) FROM unnest($1::bytea[], $2::text[]) AS rows(id, code)`,
        [
          rows.map((i) => Buffer.from(ids.subarray(i * ITEM_ID_BYTES, (i + 1) * ITEM_ID_BYTES))),
          rows.map((i) => bitsOf(codes.subarray(i * width, (i + 1) * width))),
        ],
      ),
    );
  }

  /** The k nearest by (distance, item id). @throws LETHE-2608, LETHE-2609, LETHE-2612 */
  async search(query: Uint8Array, k: number): Promise<PgNeighbour[]> {
    if (!Number.isInteger(k) || k < 1) throw INDEX.OPTION_INVALID('k is not a positive integer');
    return await this.#nearest(query, this.#codeBits, k);
  }

  /** All within the radius, by (distance, item id). @throws LETHE-2608, LETHE-2609, LETHE-2612 */
  async range(query: Uint8Array, radius: number): Promise<PgNeighbour[]> {
    if (!Number.isInteger(radius) || radius < 0) throw INDEX.OPTION_INVALID('the radius is not 0 or more');
    return await this.#nearest(query, radius, null);
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
    await told('vacuum the table', () => this.#pool.query(`VACUUM "${this.#table}"`));
    return { rows: deleted.rowCount ?? 0, mayRemain: MAY_REMAIN };
  }

  async #nearest(query: Uint8Array, radius: number, k: number | null): Promise<PgNeighbour[]> {
    if (8 * query.length !== this.#codeBits) {
      throw INDEX.BATCH_INVALID(`a code of this table has ${this.#codeBits / 8} bytes`);
    }
    const { rows } = await told('search codes', () =>
      this.#pool.query<{ id: Buffer; distance: number }>(
        `SELECT id, distance FROM (SELECT id, (code <~> $1::text::bit(${this.#codeBits}))::float8 AS distance FROM "${this.#table}") AS all_codes
         WHERE distance <= $2 ORDER BY distance, id LIMIT $3`,
        [bitsOf(query), radius, k],
      ),
    );
    return rows.map(({ id, distance }) => ({ itemId: new Uint8Array(id), distance }));
  }
}

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
