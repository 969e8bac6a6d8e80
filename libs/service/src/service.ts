import type { Lethe } from '@lethe/client';
import type { Bus } from '@lethe/events';
import type { ServiceBinding } from '@lethe/rpc';
import type { Clock, Logger, RandomSource } from '@lethe/std';

/** What the host gives to every service. Settings of one service alone are arguments of its own `create`. */
export interface ServiceDeps {
  readonly bus: Bus;
  /** The other services, over gRPC, for reading. */
  readonly peers: Lethe;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly logger: Logger;
}

/** What `create(deps)` of every service returns. */
export interface Service {
  readonly name: string;
  readonly bindings: readonly ServiceBinding[];
  /** Starts consumers and resumes what a stop has interrupted. The peers are reachable by then. */
  start(): Promise<void>;
  /** Stops taking work, waits for what runs. */
  close(): Promise<void>;
}
