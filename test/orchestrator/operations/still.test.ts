/** Who is revoked while an operation lasts gets nothing of it, whichever it is: through the door for people elsewhere, to nodes that never answer. */
import { EventEmitter } from 'node:events';
import test from 'ava';
import { refusal } from '../../../base/error.ts';
import type { House } from '../../../orchestrator/operations/operation.ts';
import { whileTheyMay } from '../../../orchestrator/operations/still.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { until } from '../../support/until.ts';
import { elsewhere, wish } from './elsewhere.ts';

/** A node that takes every request and answers none. `open`: requests that nobody has given up. */
function deaf() {
  const open = new Set<string>();
  const request = (_: string, op: string, __: unknown, { signal }: { signal: AbortSignal }) => {
    open.add(op);
    return new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => {
        open.delete(op);
        reject(signal.reason);
      });
    });
  };
  const pool = { request: request as never };
  return { open, links: (() => pool) as House['links'] };
}

const LASTING = [
  ['service logs', 'logs', { service: 'shop', nodes: [] as string[], lines: 1 }],
  ['slice logs', 'logs', { name: 'probe', lines: 1 }],
  ['node metrics', 'usage', { node: '' }],
  ['service freeze', 'status', { service: 'shop', nodes: [] as string[], reason: 'x' }],
] as const;

for (const [operation, op, input] of LASTING)
  test(`${operation}: who is revoked meanwhile waits no longer, and the node is asked no more`, async (t) => {
    t.timeout(60_000);
    const { open, links } = deaf();
    const { as, member, release, paths } = await elsewhere(t, links);
    const id = await member(1, ['shop:1']);
    await release('shop:1');
    const core = await as({ name: 'ann' });
    await core.say('slice create', wish('probe', 1));
    await core.say('slice run', { name: 'probe', services: ['shop:1'] });
    const bob = await as({ name: 'bob' });
    const said = bob.say(operation, {
      ...input,
      ...('nodes' in input && { nodes: [id] }),
      ...('node' in input && { node: id }),
    });
    const ended = t.throwsAsync(said, { code: 'OPERATOR_REVOKED', message: /was cut off/ });
    await until(() => open.has(op));
    await new OperatorRegister(paths.keys).revoke(bob.serial, { by: 'x', at: Date.now(), reason: 'left' });
    await ended;
    await until(() => open.size === 0);
  });

test('what hears no signal goes on to its end, and its result is for nobody; what carries bytes looks itself', async (t) => {
  t.timeout(60_000);
  let asked = 0;
  const still = async () => {
    asked += 1;
    throw refusal('OPERATOR_REVOKED', 'gone');
  };
  const person = new EventEmitter() as never;
  const carrying = { from: 'here', begin: () => person, still };
  const { signal } = new AbortController();
  const later = Promise.withResolvers<string>();
  const result = whileTheyMay({ name: 'x', carrying, signal }, ({ signal: denied }) => {
    denied.addEventListener('abort', () => later.resolve('a secret'));
    return later.promise;
  });
  await t.throwsAsync(result, { code: 'OPERATOR_REVOKED' });
  t.is(asked, 1);
  const carried = whileTheyMay({ name: 'x', carrying, signal }, async (now) => {
    now.carrying!.begin({});
    await new Promise((resolve) => setTimeout(resolve, 6000));
    return now.signal.aborted;
  });
  t.false(await carried);
  t.is(asked, 1);
});
