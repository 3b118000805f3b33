/** A process of its own that uses the embedded Redis: raises a counter, waits, raises it again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { dataPaths } from '../../../base/paths.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';

const [root, wait = '0', ending = 'close'] = process.argv.slice(2);
const { redis, close } = await connect(dataPaths(root), { url: '' });
await redis.incr('counter');
await sleep(Number(wait));
await redis.incr('counter');
if (ending === 'die') process.kill(process.pid, 'SIGKILL');
await close();
// Whatever is left keeps a command from ending.
if (process.getActiveResourcesInfo().includes('Timeout')) process.exitCode = 3;
