/** Three servers: the leader dies in the middle of appends and of a consumer's work, and nothing is lost or doubled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep, utf8 } from '@lethe/std';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type RunningServers, startCluster } from './servers.ts';

const binary = process.env.LETHE_NATS_CLUSTER_BIN;

test('a killed leader: every append is stored once, the consumer goes on', {
  skip: !binary && 'LETHE_NATS_CLUSTER_BIN is not set',
}, async () => {
  const cluster = await startCluster(binary ?? '');
  const bus = await cluster.open('loss');
  try {
    await bus.ensureStream({ name: 'LOSS', subjects: ['loss.*'], maxBytes: 1_000_000, replicas: 3 });
    const seen = new Set<number>();
    await bus.consume({
      stream: 'LOSS',
      durable: 'reader',
      filterSubject: 'loss.*',
      handler: async (delivery) => {
        seen.add(delivery.sequence);
        delivery.ack();
      },
    });
    const total = 300;
    for (let i = 0; i < total; i++) {
      if (i === 100) process.kill(await leaderOf(cluster, 'loss_LOSS'), 'SIGKILL');
      await bus.append('LOSS', `loss.${i % 7}`, { id: `m${i}`, data: utf8(String(i)) });
    }
    const texts: string[] = [];
    for await (const message of bus.read('LOSS', 'loss.*'))
      texts.push(new TextDecoder().decode(message.data));
    assert.deepEqual(
      texts,
      Array.from({ length: total }, (_, i) => String(i)),
    );
    for (let i = 0; seen.size < total && i < 3_000; i++) await sleep(10);
    assert.equal(seen.size, total);
  } finally {
    await bus.close();
    await cluster.stop();
  }
});

/** Process number of the server that leads the stream. */
async function leaderOf(cluster: RunningServers, stream: string): Promise<number> {
  const connection = await connect({
    servers: cluster.servers.map((server) => `127.0.0.1:${server.port}`),
    user: 'lethe',
    pass: 'of-all-three',
  });
  try {
    const manager = await jetstreamManager(connection);
    const leader = (await manager.streams.info(stream)).cluster?.leader ?? '';
    const server = cluster.servers[Number(leader.slice(1))];
    assert.match(leader, /^n[012]$/);
    return server?.pid ?? 0;
  } finally {
    await connection.close();
  }
}
