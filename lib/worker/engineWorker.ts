/** What the engine's thread runs. Started by the first mesh that is joined with `thread: 'worker'`; imported by nobody. */
import { parentPort, workerData } from 'node:worker_threads';
import type { ThreadData } from '../mesh/thread/orders.js';
import { EngineHost } from './engineHost.js';

const host = new EngineHost(parentPort!, workerData as ThreadData);
// These are the thread's own events. Left alone, an error would tear the thread down under native code, and with it the process.
process.on('uncaughtException', (error) => void host.crashed(error));
