/**
 * The key store in one SQLite file.
 *
 * Each data key is wrapped (AES-256-GCM) under the key of an epoch, which is a file of its own (mode 0600). Deletion has
 * to remove bytes, and these choices do it:
 * - `secure_delete=ON`: SQLite overwrites what it frees.
 * - a row is never deleted or moved: it has a fixed size, is appended in the order of its number, and a destroyed key is
 *   overwritten by zeros in place. Moving cells between pages is what leaves stale copies.
 * - after each destruction a TRUNCATE checkpoint: until then the page with the key is still in the write-ahead log.
 * - `rotate()` makes every older copy of the file (a backup, a block that the disk kept) useless.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import {
  bytesOf,
  type Clock,
  concatBytes,
  hex,
  type RandomSource,
  secureRandom,
  sha256,
  systemClock,
} from '@lethe/std';
import { STORE } from './errors.ts';
import type { KeyName, KeyReceipt, KeyStore, Rotation } from './key-store.ts';
import { KEY_BYTES } from './seal.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** epoch (u32) · nonce · wrapped key · tag: the same for every row, so that an update overwrites in place. */
const WRAPPED_BYTES = 4 + NONCE_BYTES + KEY_BYTES + TAG_BYTES;
const EPOCH_FILE = /^epoch-(\d+)\.key$/;

const SCHEMA = `
  create table if not exists keys (number integer primary key, digest blob not null, wrapped blob not null) strict;
  create unique index if not exists keys_by_digest on keys (digest);
  create table if not exists receipts (
    digest blob primary key, destroyed_at_ms integer not null, settings text not null
  ) strict, without rowid;
`;

export interface SqliteKeyStoreOptions {
  /** Holds `keys.sqlite` and the epoch keys; created with mode 0700. Keep it out of ordinary backups. */
  readonly directory: string;
  readonly random?: RandomSource;
  readonly clock?: Clock;
}

/** Opens or creates the store. @throws LetheError LETHE-2203 its files do not fit; LETHE-2204 a setting was refused */
export function openKeyStore(options: SqliteKeyStoreOptions): SqliteKeyStore {
  return new SqliteKeyStore(options);
}

export class SqliteKeyStore implements KeyStore {
  readonly #directory: string;
  readonly #random: RandomSource;
  readonly #clock: Clock;
  readonly #database: DatabaseSync;
  readonly #epochKeys = new Map<number, Uint8Array>();
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #overwrite: StatementSync;
  readonly #findReceipt: StatementSync;
  readonly #insertReceipt: StatementSync;
  readonly #settings: string;
  #epoch: number;

  constructor(options: SqliteKeyStoreOptions) {
    this.#directory = options.directory;
    this.#random = options.random ?? secureRandom();
    this.#clock = options.clock ?? systemClock;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    chmodSync(this.#directory, 0o700);
    const file = join(this.#directory, 'keys.sqlite');
    // Made before SQLite opens it: the files beside it take its mode.
    closeSync(openSync(file, 'a', 0o600));
    this.#database = new DatabaseSync(file);
    this.#settings = this.#configure();
    this.#database.exec(SCHEMA);
    this.#find = this.#database.prepare('select number, wrapped from keys where digest = ?');
    this.#insert = this.#database.prepare('insert into keys (digest, wrapped) values (?, ?)');
    this.#overwrite = this.#database.prepare('update keys set wrapped = ? where number = ?');
    this.#findReceipt = this.#database.prepare(
      'select destroyed_at_ms, settings from receipts where digest = ?',
    );
    this.#insertReceipt = this.#database.prepare('insert into receipts values (?, ?, ?)');
    this.#epoch = this.#openEpochs();
  }

  ensure(names: readonly KeyName[]): readonly Uint8Array[] {
    return this.#transaction(() =>
      names.map((name) => {
        const digest = digestOf(name);
        const row = this.#row(digest);
        if (row) return this.#unwrap(digest, row.wrapped);
        this.#refuseDestroyed(digest);
        const key = this.#random.bytes(KEY_BYTES);
        this.#insert.run(digest, this.#wrap(digest, key, this.#epoch));
        return key;
      }),
    );
  }

  get(name: KeyName): Uint8Array {
    const digest = digestOf(name);
    const row = this.#row(digest);
    if (row) return this.#unwrap(digest, row.wrapped);
    this.#refuseDestroyed(digest);
    throw STORE.KEY_NOT_FOUND('there is no such key', { details: { tenant: name.tenant, kind: name.kind } });
  }

  has(name: KeyName): boolean {
    return this.#row(digestOf(name)) !== undefined;
  }

  destroy(names: readonly KeyName[]): readonly KeyReceipt[] {
    const receipts = this.#transaction(() =>
      names.map((name) => {
        const digest = digestOf(name);
        const before = this.receipt(name);
        if (before) return before;
        const row = this.#row(digest);
        if (row) this.#overwrite.run(new Uint8Array(WRAPPED_BYTES), row.number);
        const destroyedAtMs = this.#clock.nowMs();
        this.#insertReceipt.run(digest, destroyedAtMs, this.#settings);
        return { keyIdDigest: hex(digest), destroyedAtMs, settings: this.#settings };
      }),
    );
    // Also for keys that were destroyed before: a crash between the two leaves the pages in the log.
    this.#checkpoint();
    return receipts;
  }

  receipt(name: KeyName): KeyReceipt | undefined {
    const digest = digestOf(name);
    const row = this.#findReceipt.get(digest);
    if (!row) return undefined;
    return {
      keyIdDigest: hex(digest),
      destroyedAtMs: Number(row.destroyed_at_ms),
      settings: String(row.settings),
    };
  }

  rotate(): Rotation {
    const epoch = this.#epoch + 1;
    this.#writeEpochKey(epoch);
    const living = this.#database.prepare('select number, digest, wrapped from keys').all();
    const rewrapped = this.#transaction(() => {
      let count = 0;
      for (const { number, digest, wrapped } of living) {
        if (isZero(wrapped as Uint8Array)) continue;
        const key = this.#unwrap(digest as Uint8Array, wrapped as Uint8Array);
        this.#overwrite.run(this.#wrap(digest as Uint8Array, key, epoch), Number(number));
        key.fill(0);
        count++;
      }
      return count;
    });
    this.#checkpoint();
    this.#epoch = epoch;
    return { epoch, rewrapped, destroyedEpochs: this.#destroyOldEpochs() };
  }

  close(): void {
    this.#checkpoint();
    this.#database.close();
    for (const key of this.#epochKeys.values()) key.fill(0);
    this.#epochKeys.clear();
  }

  /** Sets what deletion rests on and reads it back. @returns the settings as the receipts name them */
  #configure(): string {
    const pragma = (text: string): string =>
      String(Object.values(this.#database.prepare(`pragma ${text}`).get() ?? {})[0]);
    pragma('journal_mode = wal');
    pragma('secure_delete = on');
    this.#database.exec('pragma synchronous = full');
    const found = {
      journal_mode: pragma('journal_mode'),
      secure_delete: pragma('secure_delete'),
      synchronous: pragma('synchronous'),
    };
    if (found.journal_mode !== 'wal' || found.secure_delete !== '1' || found.synchronous !== '2') {
      throw STORE.KEY_STORE_SETTINGS('SQLite keeps another setting than deletion needs', { details: found });
    }
    return 'sqlite journal_mode=wal secure_delete=on synchronous=full, overwritten in place, wal_checkpoint(truncate)';
  }

  #checkpoint(): void {
    const result = this.#database.prepare('pragma wal_checkpoint(truncate)').get();
    if (Number(result?.busy ?? 1) !== 0) {
      throw STORE.KEY_STORE_SETTINGS(
        'the write-ahead log could not be truncated: another process holds the store',
      );
    }
  }

  #row(digest: Uint8Array): { number: number; wrapped: Uint8Array } | undefined {
    const row = this.#find.get(digest);
    const wrapped = row?.wrapped as Uint8Array | undefined;
    return row && wrapped && !isZero(wrapped) ? { number: Number(row.number), wrapped } : undefined;
  }

  #refuseDestroyed(digest: Uint8Array): void {
    if (!this.#findReceipt.get(digest)) return;
    throw STORE.KEY_DESTROYED('the key was destroyed', { details: { keyIdDigest: hex(digest) } });
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('begin immediate');
    try {
      const result = work();
      this.#database.exec('commit');
      return result;
    } catch (error) {
      this.#database.exec('rollback');
      throw error;
    }
  }

  #wrap(digest: Uint8Array, key: Uint8Array, epoch: number): Uint8Array {
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, epoch);
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#epochKey(epoch), nonce);
    cipher.setAAD(concatBytes(head, digest));
    const wrapped = cipher.update(key);
    cipher.final();
    return concatBytes(head, nonce, wrapped, cipher.getAuthTag());
  }

  #unwrap(digest: Uint8Array, row: Uint8Array): Uint8Array {
    const epoch = new DataView(row.buffer, row.byteOffset).getUint32(0);
    const decipher = createDecipheriv('aes-256-gcm', this.#epochKey(epoch), row.subarray(4, 4 + NONCE_BYTES));
    decipher.setAAD(concatBytes(row.subarray(0, 4), digest));
    decipher.setAuthTag(row.subarray(WRAPPED_BYTES - TAG_BYTES));
    try {
      const key = decipher.update(row.subarray(4 + NONCE_BYTES, WRAPPED_BYTES - TAG_BYTES));
      decipher.final();
      return bytesOf(key);
    } catch (cause) {
      throw STORE.KEY_STORE_DAMAGED('a wrapped key does not open under the key of its epoch', {
        details: { epoch },
        cause,
      });
    }
  }

  #epochKey(epoch: number): Uint8Array {
    const key = this.#epochKeys.get(epoch);
    if (!key) throw STORE.KEY_STORE_DAMAGED(`the key of epoch ${epoch} is missing`, { details: { epoch } });
    return key;
  }

  /** Reads the epoch keys, makes the first, and finishes a rotation that a crash cut short. @returns the present epoch */
  #openEpochs(): number {
    const epochs = this.#epochFiles();
    for (const epoch of epochs) {
      const key = new Uint8Array(readFileSync(this.#epochPath(epoch)));
      // A key file that a crash left half written has sealed nothing: it is written before anything is wrapped.
      if (key.length === KEY_BYTES) this.#epochKeys.set(epoch, key);
      else rmSync(this.#epochPath(epoch));
    }
    const rows = this.#database.prepare('select wrapped from keys').all();
    const used = new Set<number>();
    for (const { wrapped } of rows) {
      const bytes = wrapped as Uint8Array;
      if (!isZero(bytes)) used.add(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0));
    }
    for (const epoch of used) this.#epochKey(epoch);
    const present = Math.max(0, ...used, ...(used.size === 0 ? this.#epochKeys.keys() : []));
    if (present === 0) {
      this.#writeEpochKey(1);
      return 1;
    }
    this.#epoch = present;
    this.#destroyOldEpochs();
    return present;
  }

  #epochFiles(): number[] {
    return readdirSync(this.#directory)
      .map((name) => Number(EPOCH_FILE.exec(name)?.[1] ?? 0))
      .filter((epoch) => epoch > 0);
  }

  #epochPath(epoch: number): string {
    return join(this.#directory, `epoch-${epoch}.key`);
  }

  #writeEpochKey(epoch: number): void {
    const key = this.#random.bytes(KEY_BYTES);
    overwrite(this.#epochPath(epoch), key);
    this.#syncDirectory();
    this.#epochKeys.set(epoch, key);
  }

  /** Destroys the key of every epoch but the present one. */
  #destroyOldEpochs(): number[] {
    const old = this.#epochFiles().filter((epoch) => epoch !== this.#epoch);
    for (const epoch of old) {
      overwrite(this.#epochPath(epoch), new Uint8Array(statSync(this.#epochPath(epoch)).size));
      rmSync(this.#epochPath(epoch));
      this.#epochKeys.get(epoch)?.fill(0);
      this.#epochKeys.delete(epoch);
    }
    if (old.length > 0) this.#syncDirectory();
    return old;
  }

  #syncDirectory(): void {
    const folder = openSync(this.#directory, 'r');
    fsyncSync(folder);
    closeSync(folder);
  }
}

/** SHA-256 over the parts of the name, each with its length: no two names share a digest by their joints. */
function digestOf(name: KeyName): Uint8Array {
  return sha256(
    'lethe.key.v1',
    ...[name.tenant, name.kind, name.id].map((part) => `|${part.length}:${part}`),
  );
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

function overwrite(path: string, bytes: Uint8Array): void {
  const file = openSync(path, existsSync(path) ? 'r+' : 'w', 0o600);
  writeSync(file, bytes, 0, bytes.length, 0);
  fsyncSync(file);
  closeSync(file);
}
