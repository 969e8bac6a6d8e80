/** The vault as a process of its own. */
import { readConfig, runHost } from '@lethe/service';
import { hostedVault } from './hosted.ts';

await runHost(readConfig(process.env), 'lethe-vault', [hostedVault]);
