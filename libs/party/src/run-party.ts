import { existsSync } from 'node:fs';
import { type Signer, signerFromSeed } from '@lethe/certificate';
import { federation } from '@lethe/contracts';
import { connect, type Partially, readPrivateFile, writePrivateFile } from '@lethe/rpc';
import {
  type Clock,
  fromHex,
  hex,
  LetheError,
  type Logger,
  Mailbox,
  type RandomSource,
  secureRandom,
  silentLogger,
  sleep,
  systemClock,
} from '@lethe/std';
import { PARTY } from './errors.ts';
import { PartyHalf, type PartyProgress } from './half.ts';
import type { RowStore } from './rows.ts';

export interface PartyOptions {
  /** `host:port` of the federation service. */
  readonly address: string;
  /** Bearer token of a credential with the role `party`. */
  readonly token: string;
  /** tenants/{tenant}/federations/{federation} */
  readonly federation: string;
  /** This party's id in the federation's specification. */
  readonly party: string;
  readonly rows: RowStore;
  /** Holds the party's Ed25519 seed, mode 0600; made at the first start. Without it the party cannot come back. */
  readonly keyFile: string;
  readonly logger?: Logger;
  readonly onProgress?: (progress: PartyProgress) => void;
  readonly random?: RandomSource;
  readonly clock?: Clock;
}

export interface RunningParty {
  /** Leaves the federation and frees the model. */
  stop(): Promise<void>;
  /** Settles after `stop`, or rejects with a refusal that waiting does not change. */
  readonly finished: Promise<void>;
}

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 3_000;
/** Refusals that another try may not meet: the federation is not created yet, an earlier connection is not gone yet. */
const PASSING: ReadonlySet<string> = new Set([
  'UNAVAILABLE',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'CANCELLED',
  'DEADLINE_EXCEEDED',
  'ABORTED',
  'INTERNAL',
]);

/** Reads the party's key, or makes it. @throws LETHE-2107 others can read the file; LETHE-5104 it is no key */
export function loadOrCreateKey(path: string, name: string, random: RandomSource): Signer {
  if (!existsSync(path)) writePrivateFile(path, `${hex(random.bytes(32))}\n`);
  const text = readPrivateFile(path).toString('utf8').trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw PARTY.CONFIG_INVALID('the key file does not hold 64 hex digits', {
      details: { member: 'keyFile' },
    });
  }
  return signerFromSeed(name, fromHex(text));
}

/** Takes part in a federation until it is stopped; reconnects with growing pauses and keeps its model meanwhile. */
export function runParty(options: PartyOptions): RunningParty {
  const { logger = silentLogger, random = secureRandom(), clock = systemClock, party } = options;
  const signer = loadOrCreateKey(options.keyFile, party, random);
  const connection = connect({ address: options.address, token: options.token });
  const client = connection.client(federation.FederationServiceDefinition);
  const onProgress = options.onProgress ?? (() => undefined);
  const half = new PartyHalf({
    federation: options.federation,
    party,
    store: options.rows,
    signer,
    clock,
    onProgress,
  });
  const stopping = new AbortController();

  /** One connection, from Hello to its end. @returns true if the service has welcomed us */
  const takePart = async (): Promise<boolean> => {
    const outgoing = new Mailbox<Partially<federation.PartyMessage>>();
    const hello = {
      federation: options.federation,
      party,
      publicKey: signer.publicKey,
      columns: options.rows.columns,
      rows: BigInt(options.rows.size),
      modelDigest: half.modelDigest,
    };
    outgoing.push({ message: { $case: 'hello', value: hello } });
    let welcomed = false;
    try {
      for await (const { message } of client.join(outgoing, { signal: stopping.signal })) {
        if (!message) continue;
        welcomed = true;
        for (const answer of await half.answer(message)) outgoing.push({ message: answer });
      }
    } catch (error) {
      if (stopping.signal.aborted) return welcomed;
      if (!(error instanceof LetheError) || !PASSING.has(error.status)) throw error;
      logger.info('the federation cannot be reached', { party, code: error.code });
    } finally {
      outgoing.end();
    }
    return welcomed;
  };

  const run = async (): Promise<void> => {
    try {
      for (let pauseMs = BACKOFF_FIRST_MS; !stopping.signal.aborted; ) {
        if (await takePart()) pauseMs = BACKOFF_FIRST_MS;
        if (stopping.signal.aborted) break;
        onProgress({ phase: 'disconnected' });
        await sleep(pauseMs * (0.75 + random.uniform() / 2));
        pauseMs = Math.min(2 * pauseMs, BACKOFF_MAX_MS);
      }
    } finally {
      connection.close();
      await half.close();
    }
  };
  const finished = run();
  // Whoever does not look at `finished` must not lose the process over it.
  finished.catch((error: unknown) => logger.error('the party has stopped', { party, error }));
  return {
    finished,
    async stop() {
      stopping.abort();
      await finished.catch(() => undefined);
    },
  };
}
