/**
 * Room in the streams, watched by the writer.
 *
 * nats-server compares a new message with `max_bytes` by its headers and payload, but stores it with its subject and framing
 * on top; where that crosses the limit it then deletes the OLDEST message, although the stream says `discard: new` (seen on
 * 2.9.10, which Debian 12 has). A message that could cross is therefore not sent at all.
 *
 * The same goes for the disk, where the server is ours: once a write of its fails for want of room, 2.9.10 neither answers nor ends.
 *
 * Within a process the account is exact. Writers in other processes are seen at the next look, which is why a reserve stays free.
 */
import type { StreamState } from '../bus.ts';
import { EVENTS } from '../errors.ts';

const RESERVE_BYTES_MAX = 64 * 1024;
const RESERVE_SHARE = 1 / 16;
/** A look is good for so long: briefly where room is scarce. */
const SCARCE_BYTES = 32 * 1024 * 1024;
const FRESH_MS = { scarce: 250, ample: 5_000 };

interface Account {
  /** What may still be taken, the reserve excluded. */
  free: number;
  maxBytes: number;
  /** The disk is what limits it, not the stream's own limit. */
  isDisk: boolean;
  lookedMs: number;
  /** Bytes of messages that are on their way. */
  unsettled: number;
  looking: Promise<void> | undefined;
  /** Nothing was on its way at the last look, and nothing has been taken since. */
  isExact: boolean;
  /** Taken since the last look has begun. */
  since: number;
}

/** Bytes of the file system that the store lies on. */
export type DiskRoom = () => Promise<{ readonly free: number; readonly total: number }>;

const reserveOf = (total: number): number => Math.min(RESERVE_BYTES_MAX, Math.floor(total * RESERVE_SHARE));
/** The server writes more than messages: states of consumers, indexes, its log. */
const DISK_RESERVE_FACTOR = 64;

export class Headroom {
  readonly #look: (stream: string) => Promise<StreamState>;
  readonly #diskRoom: DiskRoom | undefined;
  readonly #accounts = new Map<string, Account>();

  constructor(look: (stream: string) => Promise<StreamState>, diskRoom?: DiskRoom) {
    this.#look = look;
    this.#diskRoom = diskRoom;
  }

  /**
   * Takes room for a message of at most `bytes` on disk. @returns to be called once its fate is known
   * @throws LETHE-2002 there is none; what looking throws
   */
  async take(stream: string, bytes: number): Promise<() => void> {
    const account = this.#account(stream);
    const freshMs = account.free > SCARCE_BYTES ? FRESH_MS.ample : FRESH_MS.scarce;
    if (performance.now() - account.lookedMs > freshMs) await this.#refresh(stream, account);
    while (account.free < bytes) {
      await this.#refresh(stream, account);
      // Where anything was on its way the account is too low: once that has settled, the next look says.
      if (account.isExact && account.free < bytes) {
        const why = account.isDisk ? 'the disk is full' : 'its limit is reached';
        throw EVENTS.STREAM_FULL(`${stream} has no room for ${bytes} bytes: ${why}`, {
          details: { stream, limit: account.maxBytes, disk: account.isDisk },
        });
      }
    }
    account.isExact = false;
    account.free -= bytes;
    account.since += bytes;
    account.unsettled += bytes;
    return () => {
      account.unsettled -= bytes;
    };
  }

  #account(stream: string): Account {
    let account = this.#accounts.get(stream);
    if (!account) {
      account = {
        free: 0,
        maxBytes: 0,
        isDisk: false,
        lookedMs: Number.NEGATIVE_INFINITY,
        unsettled: 0,
        isExact: false,
        looking: undefined,
        since: 0,
      };
      this.#accounts.set(stream, account);
    }
    return account;
  }

  /**
   * One look at a time. What is on its way meanwhile may or may not be counted by the server: it is counted here, so that the room
   * that is found may be too small.
   */
  async #refresh(stream: string, account: Account): Promise<void> {
    account.looking ??= (async () => {
      const onTheWay = account.unsettled;
      account.since = 0;
      try {
        const { bytes, maxBytes } = await this.#look(stream);
        const disk = await this.#diskRoom?.();
        const diskFree = disk
          ? disk.free -
            Math.min(DISK_RESERVE_FACTOR * RESERVE_BYTES_MAX, Math.floor(disk.total * RESERVE_SHARE))
          : Number.POSITIVE_INFINITY;
        account.free = Math.min(maxBytes - bytes - reserveOf(maxBytes), diskFree) - onTheWay - account.since;
        account.isExact = onTheWay + account.since === 0;
        account.isDisk = diskFree < maxBytes - bytes - reserveOf(maxBytes);
        account.maxBytes = maxBytes;
        account.lookedMs = performance.now();
      } finally {
        account.looking = undefined;
      }
    })();
    await account.looking;
  }
}
