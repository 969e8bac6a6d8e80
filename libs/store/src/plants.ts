import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '@lethe/events';
import { concatBytes } from '@lethe/std';
import type { Plant } from './scan.ts';

/** A copy in a stream, removed like a person's messages: overwritten in place. */
export function streamPlant(bus: Bus, stream: string, subject: string): Plant {
  let sequence = 0;
  return {
    store: stream,
    plant: async (bytes) => {
      ({ sequence } = await bus.append(stream, subject, { id: randomUUID(), data: bytes }));
    },
    remove: async () => {
      await bus.deleteMessageSecurely(stream, sequence);
    },
  };
}

/** A copy in a file of a directory, between other bytes. */
export function filePlant(store: string, directory: string): Plant {
  const path = join(directory, `planted-${randomUUID()}`);
  return {
    store,
    plant: async (bytes) =>
      writeFileSync(path, concatBytes(new Uint8Array(1_001), bytes, new Uint8Array(77))),
    remove: async () => rmSync(path),
  };
}
