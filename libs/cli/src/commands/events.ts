import type { Command } from 'commander';
import { integer } from '../arguments.ts';
import { plain, print, printable } from '../output.ts';
import type { Cli } from '../program.ts';

interface TailFlags {
  readonly type?: string;
  readonly from?: number;
  readonly follow?: true;
}

const TAIL_HELP = `
Shows envelopes, never payloads. --type takes an aggregate's type (dataset, training-run, erasure …) or an event's
(dataset.created, erasure.certified …). With --json each event is one line.

Examples:
  $ lethe events tail --follow
  $ lethe events tail --type erasure --tenant acme --json
`;

export function addEvents(program: Command, cli: Cli): void {
  const events = program.command('events').description('facts and dead letters, read from NATS directly');
  events
    .command('tail')
    .description('events in the order of the stream; of one tenant with --tenant')
    .option('--type <type>', 'only of this aggregate type or event type')
    .option('--from <sequence>', 'first sequence to show', integer(1))
    .option('--follow', 'go on with what is appended later, until Ctrl-C')
    .addHelpText('after', TAIL_HELP)
    .action(async ({ type, from, follow }: TailFlags, command: Command) => {
      // Unlike everywhere else no default: who reads the bus is the operator, and sees every tenant.
      const { tenant, json } = cli.globals(command);
      const isEventType = type?.includes('.') ?? false;
      await cli.platform(command).withBus(async (bus) => {
        const { tail } = await import('@lethe/events');
        const stream = tail(bus, {
          ...(tenant === undefined ? {} : { tenant }),
          ...(type === undefined || isEventType ? {} : { type }),
          ...(from === undefined ? {} : { fromSequence: from }),
          ...(follow ? { follow: cli.io.interruption() } : {}),
        });
        for await (const event of stream) {
          if (isEventType && event.type !== type) continue;
          if (json) {
            cli.io.out(`${JSON.stringify(event)}\n`);
            continue;
          }
          const { aggregate } = event;
          const where = `${aggregate.tenant} ${aggregate.type}/${aggregate.id}`;
          const line = `${event.sequence}  ${new Date(event.timeMs).toISOString()}  ${event.type}  ${where}  v${event.version}  ${event.source}  ${event.bytes} B`;
          cli.io.out(`${printable(line)}\n`);
        }
      });
    });
  events
    .command('dead-letters')
    .description('messages that a consumer has given up, with the reason')
    .option('--consumer <name>', 'only of this consumer')
    .action(async ({ consumer }: { consumer?: string }, command: Command) => {
      await cli.platform(command).withBus(async (bus) => {
        const { listDeadLetters } = await import('@lethe/events');
        const letters = [];
        for await (const letter of listDeadLetters(bus, consumer === undefined ? {} : { consumer })) {
          letters.push(plain({ ...letter, timeMs: undefined, time: new Date(letter.timeMs) }));
        }
        const json = cli.globals(command).json === true;
        if (letters.length === 0 && !json) cli.io.err('There are no dead letters.\n');
        print(cli.io, json, letters);
      });
    });
  events
    .command('replay')
    .argument('<number>', 'number of the dead letter', integer(1))
    .description('ask the consumer of a dead letter to handle its message again')
    .addHelpText(
      'after',
      '\nNUMBER is what "lethe events dead-letters" shows; the letter goes when the handling succeeds.\n',
    )
    .action(async (number: number, _options: unknown, command: Command) => {
      await cli.platform(command).withBus(async (bus) => {
        const { replayDeadLetter } = await import('@lethe/events');
        const letter = await replayDeadLetter(bus, number);
        print(cli.io, cli.globals(command).json === true, {
          asked: letter.consumer,
          number,
          eventType: letter.eventType,
          stream: letter.stream,
          sequence: letter.sequence,
        });
      });
    });
}
