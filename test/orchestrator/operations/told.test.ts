/** What the log of a server says of what people had done: through the real door. */
import test, { type ExecutionContext } from 'ava';
import { readCredential } from '../../../keys/credential.ts';
import { ask, socketOf } from '../../../orchestrator/operations/client.ts';
import { openDoor } from '../../../orchestrator/operations/door.ts';
import { keptLog } from '../../support/kept-log.ts';
import { keysIn } from '../../support/keys.ts';
import { redisFor } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { houseOf } from './support.ts';

async function served(t: ExecutionContext) {
  const { paths } = await redisFor(t);
  await keysIn(paths.keys);
  const { log, lines } = keptLog();
  const stop = new AbortController();
  const { done } = await openDoor({ ...(await houseOf(t, paths)), log, signal: stop.signal });
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  const person = async (name: string, role: 'admin' | 'viewer') => {
    const { file } = await operatorOf(paths, { name, role }, Date.now());
    const who = { credential: await readCredential(file) };
    return (operation: string, input: unknown) =>
      ask(socketOf(paths), who, operation, input).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
  };
  return { person, lines };
}

test('who did what to what, and what came of it; what is only read is not told', async (t) => {
  const { person, lines } = await served(t);
  const [ann, vera] = [await person('ann', 'admin'), await person('vera', 'viewer')];
  t.is(await ann('site add', { name: 'munich', policy: {} }), 'done');
  t.is(await ann('node list', {}), 'done');
  t.is(await ann('rollout pause', { rollout: 'ro-1', reason: 'a secret reason' }), 'ROLLOUT_UNKNOWN');
  t.is(await vera('node retire', { node: 'web1', reason: 'gone' }), 'OPERATOR_ROLE');
  t.is(await vera('no such thing', { token: 'hidden' }), 'OPERATION_UNKNOWN');
  const told = lines.filter(({ code }) => code?.startsWith('OPERATION'));
  t.deepEqual(
    told.map(({ code, actor, operation, outcome, rollout, node }) =>
      [code, actor, operation, outcome, rollout ?? node].filter((word) => word !== undefined).join(' '),
    ),
    [
      'OPERATION operator:ann site add done',
      'OPERATION_REFUSED operator:ann rollout pause ROLLOUT_UNKNOWN ro-1',
      'OPERATION_REFUSED operator:vera node retire OPERATOR_ROLE web1',
      'OPERATION_REFUSED operator:vera unknown OPERATION_UNKNOWN',
    ],
  );
  t.notRegex(JSON.stringify(lines), /secret|hidden|gone/, 'an input is not in the log');
});

test('whoever asks for what they may not, without end, does not fill the log; what is done meanwhile is told', async (t) => {
  const { person, lines } = await served(t);
  const [ann, vera] = [await person('ann', 'admin'), await person('vera', 'viewer')];
  for (let i = 0; i < 40; i += 1) await vera('site add', { name: `s${i}`, policy: {} });
  for (let i = 0; i < 8; i += 1) t.is(await ann('site add', { name: `s${i}`, policy: {} }), 'done');
  t.is(lines.filter(({ code }) => code === 'OPERATION_REFUSED').length, 5);
  t.is(lines.filter(({ code }) => code === 'OPERATION').length, 8);
});
