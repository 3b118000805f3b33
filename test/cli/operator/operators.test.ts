/** The commands as people run them: real processes on a real data directory. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../../base/run.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { directoryOn, enrolment, redisFor } from '../../orchestrator/fleet/support.ts';
import { doorOf } from '../../orchestrator/operations/support.ts';
import { keysIn } from '../../support/keys.ts';

test('a site admin approves at their site and nowhere else, until their certificate is revoked', async (t) => {
  const { paths, redis } = await redisFor(t);
  await keysIn(paths.keys);
  const fleet = new Fleet(redis);
  await doorOf(t, paths);
  const by = { actor: 'test', at: Date.now() };
  await fleet.sites.add('munich', {}, by);
  const [here, there] = [enrolment(1), enrolment(2)];
  const at = (site: string) => directoryOn(fleet, site);
  await at('munich').enrol(here);
  await at('default').enrol(there);

  const program = join(import.meta.dirname, '../../../bin/bootwave');
  const { SUDO_USER: _, ...bare } = process.env;
  const env = { ...bare, BOOTWAVE_REDIS_URL: '' };
  const bootwave = (args: string[], more = {}) =>
    run(program, ['--data', paths.root, ...args], { env: { ...env, ...more } });
  const file = join(paths.root, 'ann.pem');
  const add = ['operator', 'add', 'ann', '--role', 'site-admin', '--site'];
  t.regex((await bootwave([...add, 'rome', '--out', file])).stderr, /SITE_UNKNOWN/);
  const added = await bootwave([...add, 'munich', '--out', file]);
  t.is(added.code, 0, added.stderr);
  t.is((await stat(file)).mode & 0o777, 0o600);
  const again = await bootwave([...add, 'munich', '--out', file]);
  t.regex(again.stderr, /OPERATOR_FILE/, 'never over a key that is there');

  const approve = ({ id, words }: typeof here) => ['node', 'approve', id, '--words', words.join(' ')];
  const foreign = await bootwave(['--as', file, ...approve(there)]);
  t.regex(foreign.stderr, /OPERATOR_SITE/);
  t.is((await fleet.nodes.get(there.id))?.state, 'pending');
  t.regex((await bootwave(['--as', file, 'site', 'add', 'x'])).stderr, /OPERATOR_ROLE/);
  const theirs = await bootwave(approve(here), { BOOTWAVE_OPERATOR: file });
  t.is(theirs.code, 0, theirs.stderr);
  t.is((await fleet.nodes.get(here.id))?.approvedBy, 'operator:ann');

  t.is((await bootwave(['operator', 'revoke', 'ann', '--reason', 'gone'])).code, 0);
  t.regex((await bootwave(['--as', file, 'node', 'list'])).stderr, /OPERATOR_REVOKED/);
  t.regex((await bootwave(['operator', 'list'])).stdout, /ann +site-admin +munich +\S+ +revoked: gone/);

  const story = (await fleet.audit.read()).map(({ actor, action }) => `${actor} ${action}`);
  const told = story.filter((line) => line.startsWith('operator:'));
  t.is(told.length, 5);
  t.regex(told[0] ?? '', /^operator:[^@]+@\S+ add-operator$/);
  t.deepEqual(told.slice(1, 4), ['operator:ann refused', 'operator:ann refused', 'operator:ann approve']);
  t.regex(told[4] ?? '', /@\S+ revoke-operator$/);
});
