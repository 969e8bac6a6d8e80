/** All services in one process: the embedded default behind `npm start` and `lethe up`. */
import { readConfig, runHost } from '@lethe/service';
import { ALL } from './services.ts';

await runHost(readConfig(process.env), 'lethe', ALL);
