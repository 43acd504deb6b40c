/** A process that opens a laboratory with something running in it, and waits to be killed. */
import { Lab } from './lab.js';

const lab = await Lab.open({ a: {} });
const sleeper = lab.spawn('a', 'sleeper', ['sleep', '1000']);
process.stdout.write(`${sleeper.pid}\n`);
setInterval(() => undefined, 1000);
