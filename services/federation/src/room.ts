/** Who is present in a federation, what is being done with them, and what they say. One piece of work at a time. */
import type { common, federation as wire } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { isErrorCode, Mailbox } from '@lethe/std';
import { FEDERATION } from './errors.ts';
import type { Address } from './federations.ts';

export type Said = NonNullable<wire.PartyMessage['message']>;
type Told = NonNullable<Partially<wire.CoordinatorMessage>['message']>;

/** One party's open stream. */
export class Link {
  readonly party: string;
  /** Of the complete model that the party holds, hex; empty while it has none. */
  modelDigest: string;
  readonly outgoing = new Mailbox<Partially<wire.CoordinatorMessage>>();

  constructor(party: string, digest: string) {
    this.party = party;
    this.modelDigest = digest;
  }

  send(message: Told): void {
    this.outgoing.push({ message });
  }
}

export type Heard = { readonly party: string } & (
  | { readonly said: Said }
  | { readonly said: undefined; readonly reason: string }
);

export type Activity = 'idle' | 'training' | 'erasing';

export class Room {
  readonly address: Address;
  readonly links = new Map<string, Link>();
  readonly joining = new Set<string>();
  activity: Activity = 'idle';
  progress: common.Progress | undefined;
  /** Why the last round was abandoned, for a condition. */
  abandoned = '';
  /** An erasure that has begun and not ended: nothing else may train. */
  erasure = '';
  #heard: Mailbox<Heard> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #changed = new Mailbox<true>();

  constructor(address: Address) {
    this.address = address;
  }

  missing(parties: readonly string[]): string[] {
    return parties.filter((party) => !this.links.has(party));
  }

  /** Links in the order of the specification. @throws LETHE-4110 */
  present(parties: readonly string[]): Link[] {
    const missing = this.missing(parties);
    if (missing.length > 0) {
      throw FEDERATION.PARTY_MISSING(`not present: ${missing.join(', ')}`, {
        details: { parties: missing.join(',') },
      });
    }
    return parties.map((party) => this.links.get(party)!);
  }

  enter(link: Link): void {
    this.links.set(link.party, link);
    this.#changed.push(true);
  }

  leave(link: Link, reason: string): void {
    link.outgoing.end();
    if (this.links.get(link.party) !== link) return;
    this.links.delete(link.party);
    this.#heard?.push({ party: link.party, said: undefined, reason });
  }

  /** Ends the streams of parties that do not answer; they may come back. */
  dismiss(parties: readonly string[]): void {
    for (const party of parties) {
      const link = this.links.get(party);
      if (link) this.leave(link, 'it did not answer in time');
    }
  }

  hear(link: Link, said: Said): void {
    if (said.$case === 'committed') link.modelDigest = said.value.modelDigest;
    if (this.links.get(link.party) === link) this.#heard?.push({ party: link.party, said });
  }

  /** Waits until all are present. @throws LETHE-4110 */
  async gathered(parties: readonly string[], waitMs: number): Promise<Link[]> {
    const endMs = performance.now() + waitMs;
    while (this.missing(parties).length > 0 && performance.now() < endMs) {
      await this.#changed.next(endMs - performance.now());
    }
    return this.present(parties);
  }

  /** Runs work when everything before it has ended; it alone hears the parties. */
  async inTurn<T>(work: (heard: Mailbox<Heard>) => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      const heard = new Mailbox<Heard>();
      this.#heard = heard;
      try {
        return await work(heard);
      } finally {
        this.#heard = undefined;
        heard.end();
        this.activity = 'idle';
        this.progress = undefined;
      }
    };
    const mine = this.#turn.then(run, run);
    this.#turn = mine.catch(() => undefined);
    return await mine;
  }
}

/** A refusal as an error. The party's own words are not passed on: they could name a person. */
export const refused = (party: string, { code }: wire.Refusal) =>
  FEDERATION.PARTY_REFUSED(`party ${party} refused with ${isErrorCode(code) ? code : 'no known code'}`, {
    details: { party },
  });

type ValueOf<Case> = Extract<Said, { $case: Case }> extends { readonly value: infer Value } ? Value : never;

/** One answer of a kind from each party. @throws LETHE-4109 a party refuses; LETHE-4110 it leaves or does not answer */
export async function answers<Case extends Said['$case']>(
  heard: Mailbox<Heard>,
  parties: readonly string[],
  wanted: { readonly kind: Case; readonly id: string; readonly timeoutMs: number },
): Promise<Map<string, ValueOf<Case>>> {
  const found = new Map<string, ValueOf<Case>>();
  while (found.size < parties.length) {
    const next = await heard.next(wanted.timeoutMs);
    if (!next) throw silent(parties.filter((party) => !found.has(party)));
    const { party, said } = next;
    if (!said) throw FEDERATION.PARTY_MISSING(`${party} left`, { details: { parties: party } });
    if (said.$case === 'refusal' && said.value.stepId === wanted.id) throw refused(party, said.value);
    if (said.$case === wanted.kind && idOf(said) === wanted.id) found.set(party, said.value as ValueOf<Case>);
  }
  return found;
}

/** They are connected and do not answer. */
export const silent = (parties: readonly string[]) =>
  FEDERATION.PARTY_MISSING(`no answer in time: ${parties.join(', ')}`, {
    details: { silent: parties.join(',') },
  });

const idOf = ({ value }: Said): string =>
  'stepId' in value ? value.stepId : 'erasure' in value ? value.erasure : '';
