import { after } from 'node:test';
import { MemoryBus } from '@lethe/events';
import { busConformance } from './bus.ts';
import { type RunningServers, startCluster, startSingle } from './servers.ts';

const memories = new Map<string, MemoryBus>();
busConformance('memory', {
  open: async (instance) => {
    const bus = memories.get(instance) ?? new MemoryBus();
    memories.set(instance, bus);
    return bus;
  },
});

const servers: RunningServers[] = [];
after(async () => {
  for (const each of servers) await each.stop();
});

const single = await startSingle();
servers.push(single);
busConformance(`one nats-server ${single.version}`, single);

const clusterBinary = process.env.LETHE_NATS_CLUSTER_BIN;
if (clusterBinary) {
  const cluster = await startCluster(clusterBinary);
  servers.push(cluster);
  busConformance(`three nats-servers ${cluster.version}`, cluster, { replicas: 3 });
} else {
  console.log('three servers: skipped, LETHE_NATS_CLUSTER_BIN names no nats-server of 2.9.21 or newer');
}
