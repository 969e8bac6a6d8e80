/** A thread of a `SearchPool`. */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { serveSharedScans, type TableNews } from '@lethe/hashing';

const { control, thread, port } = workerData as {
  readonly control: SharedArrayBuffer;
  readonly thread: number;
  readonly port: MessagePort;
};
// The thread never returns to its event loop, so it has to ask.
serveSharedScans(control, thread, () => receiveMessageOnPort(port)?.message as TableNews | undefined);
