/** What an attacker with every right over Redis can have a terminal show. */
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../base/run.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { WITHDRAWN } from '../../orchestrator/releases/withdrawn.ts';
import { directoryOn, enrolment, temporaryData } from '../orchestrator/fleet/support.ts';
import { doorOf } from '../orchestrator/operations/support.ts';
import { ordered } from '../orchestrator/usage/orders.ts';

const NASTY = '\u001b]0;owned\u0007\u001b[2J\u009b1A\r\u202e\u{e0041}\nforged line';
/** Texts that nothing is decided by: what else is changed ends in an error, and shows nothing. */
const FREE = new Set(['reason', 'why', 'address', 'actor', 'approvedBy', 'what']);

function poison(value: unknown, key = ''): unknown {
  if (typeof value === 'string') return FREE.has(key) ? value + NASTY : value;
  if (Array.isArray(value)) return value.map((one) => poison(one, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, poison(one, name)]));
}
const poisoned = (text: string) => (text.startsWith('{') ? JSON.stringify(poison(JSON.parse(text))) : text);

test('whatever stands in Redis, no command steers the terminal or adds a line of its own', async (t) => {
  const paths = await temporaryData(t);
  const { redis, close } = await connect(paths, { url: '' });
  t.teardown(close);
  await doorOf(t, paths);
  await withFleet(paths, async (fleet) => {
    const one = enrolment(1, 1, { at: Date.now() });
    await directoryOn(fleet).enrol(one);
    await fleet.approve(one.id, one.words, { actor: 'operator:ann', at: Date.now() }, 'web1');
    await ordered(fleet, one.id, ['fleet/chrony', `fleet/${NASTY}`]);
  });
  await redis.hset(WITHDRAWN, '2.0', `it hangs${NASTY}`);
  await redis.hset(WITHDRAWN, `3.0${NASTY}`, 'it hangs');
  let changed = 0;
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    if (type === 'hash') {
      for (const [field, text] of Object.entries(await redis.hgetall(key))) {
        if (poisoned(text) !== text) changed += await redis.hset(key, field, poisoned(text)).then(() => 1);
      }
    }
    if (type === 'stream') {
      const [newest] = (await redis.xrevrange(key, '+', '-', 'COUNT', 1)) as [string, string[]][];
      if (newest !== undefined) await redis.xadd(key, '*', ...newest[1].map(poisoned));
      await redis.xadd(key, '*', 'entry', `no entry ${NASTY}`);
    }
  }
  t.true(changed > 0);
  const program = join(import.meta.dirname, '../../bin/bootwave');
  const env = { ...process.env, BOOTWAVE_REDIS_URL: '', SUDO_USER: 'anna' };
  for (const words of [
    ['node', 'list'],
    ['node', 'show', 'web1'],
    ['node', 'history', 'web1'],
    ['node', 'top'],
    ['service', 'top'],
    ['service', 'top', 'chrony'],
    ['metrics'],
    ['audit'],
    ['rollout', 'list'],
    ['ban', 'list'],
    ['site', 'list'],
    ['config', 'list'],
    ['firmware', 'list'],
    ['request', 'list'],
    ['image', 'withdrawn'],
  ]) {
    for (const json of [[], ['--json']]) {
      const { stdout, stderr } = await run(program, ['--data', paths.root, ...words, ...json], { env });
      const shown = `${words.join(' ')} ${json.join('')}`;
      t.notRegex(stdout + stderr, /[^\P{C}\n]/u, shown);
      t.notRegex(stdout + stderr, /^forged line/m, shown);
    }
  }
});
