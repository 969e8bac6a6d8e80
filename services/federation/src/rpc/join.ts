import type { federation as wire } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import type { Coordinator } from '../coordinator.ts';
import { join as joinFact } from '../domain/federation.ts';
import { FEDERATION } from '../errors.ts';
import { federationAddress } from '../federations.ts';
import { Link } from '../room.ts';

const invalid = (why: string, field: string) => FEDERATION.REQUEST_INVALID(why, { details: { field } });

/** A party's stream, from Hello until it leaves. @throws LETHE-4101, LETHE-4103 to LETHE-4106 */
export async function* join(
  coordinator: Coordinator,
  incoming: AsyncIterable<wire.PartyMessage>,
  signal: AbortSignal,
): AsyncGenerator<Partially<wire.CoordinatorMessage>> {
  const messages = incoming[Symbol.asyncIterator]();
  const first = await messages.next();
  const message = first.done ? undefined : first.value.message;
  if (message?.$case !== 'hello') throw invalid('the first message is no Hello', 'hello');
  const { federation: name, party, publicKey, columns, modelDigest } = message.value;
  if (publicKey.length !== 32) throw invalid('a public key has 32 bytes', 'hello.public_key');
  if (columns < 1) throw invalid('a party holds at least one column', 'hello.columns');
  const address = federationAddress(name);
  const { spec } = await coordinator.federations.load(address);
  const index = spec.parties.indexOf(party);
  if (index < 0) throw FEDERATION.PARTY_UNKNOWN('the specification does not name this party');
  const room = coordinator.room(address);
  if (room.links.has(party) || room.joining.has(party)) {
    throw FEDERATION.PARTY_PRESENT('a process takes part as this party already', { details: { party } });
  }
  room.joining.add(party);
  try {
    await coordinator.federations.aggregates.propose(address.tenant, address.id, (state) =>
      joinFact(state, name, party, publicKey),
    );
  } finally {
    room.joining.delete(party);
  }
  const link = new Link(party, modelDigest);
  link.send({ $case: 'welcome', value: { spec, index } });
  room.enter(link);
  const leave = (): void => room.leave(link, 'the stream has ended');
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  const listen = async (): Promise<void> => {
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      if (next.value.message) room.hear(link, next.value.message);
    }
  };
  // A stream that breaks ends as one that closes: what its party was needed for says so.
  listen().then(leave, leave);
  coordinator.poke(room);
  try {
    yield* link.outgoing;
  } finally {
    leave();
  }
}
