/**
 * The signer as a child: it loads nothing but what signs. Arguments: the data directory. Says in one line of JSON that it
 * is ready, or why not, and ends when its standard input does, so that it never outlives a killed parent.
 */
import { BootwaveError, messageOf } from '../../base/error.ts';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { SIGNER_LIMITS } from './judge.ts';
import { serveSigner } from './serve.ts';

const stop = new AbortController();
const end = () => stop.abort();
process.stdin.resume().once('end', end).once('error', end);
try {
  const { done } = await serveSigner({
    paths: dataPaths(process.argv[2]),
    limits: SIGNER_LIMITS,
    log: createLogger('bootwave-signer'),
    signal: stop.signal,
  });
  console.log('{"ready":true}');
  await done;
} catch (error) {
  const known = error instanceof BootwaveError;
  console.log(
    JSON.stringify({ error: known ? error.toJSON() : { code: 'SIGNER_FAILED', what: messageOf(error) } }),
  );
  process.exitCode = 1;
}
process.stdin.destroy();
