/** A thread of a `SearchPool`. */
import { workerData } from 'node:worker_threads';
import { type ChunksHandle, serveSharedScans } from '@lethe/hashing';

const { handle, thread } = workerData as { readonly handle: ChunksHandle; readonly thread: number };
serveSharedScans(handle, thread);
