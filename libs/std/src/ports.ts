/** Time as a port: domain code gets times as values, shells get a clock, tests a clock that they move. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  nowMs(): number;
}

export const systemClock: Clock = { nowMs: () => Date.now() };

/** RFC 3339 in UTC with milliseconds. */
export const timestamp = (ms: number): string => new Date(ms).toISOString();

/** Structured log lines. Fields carry ids of resources, counts and codes; never a subject id, a record or a key. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
