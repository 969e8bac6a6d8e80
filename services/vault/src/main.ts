/** The vault as a process of its own. */
import { runMain } from '@lethe/service';
import { hostedVault } from './hosted.ts';

await runMain('lethe-vault', [hostedVault]);
