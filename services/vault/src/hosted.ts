import { join } from 'node:path';
import type { CreateService } from '@lethe/service';
import { createVault } from './index.ts';

/** The vault with the settings that a host's configuration gives: where its keys are and what the scan can see. */
export const hostedVault: CreateService = (deps, { config, natsStoreDirectory }) => {
  const keyDirectory = join(config.dataDirectory, 'vault');
  const ours = natsStoreDirectory ? [{ name: 'jetstream', path: natsStoreDirectory }] : [];
  const further = config.scanPaths.map((path, i) => ({ name: `path-${i + 1}`, path }));
  const seesNats = natsStoreDirectory !== undefined || further.length > 0;
  return createVault(deps, {
    keyDirectory,
    scanRoots: [...ours, { name: 'key-store', path: keyDirectory }, ...further],
    unscanned: seesNats
      ? []
      : [
          {
            name: 'jetstream',
            reason: 'the NATS server is not ours: name its store directory in LETHE_SCAN_PATHS',
          },
        ],
  });
};
