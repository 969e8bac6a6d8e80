/** All services in one process: the embedded default behind `npm start` and `lethe up`. */
import { runMain } from '@lethe/service';
import { ALL } from './services.ts';

await runMain('lethe', ALL);
