/** The commands as people run them: real processes on a real data directory. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../base/run.ts';
import { withFleet } from '../../../orchestrator/operators/with-fleet.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { directoryOn, enrolment, macOf, temporaryData } from '../../orchestrator/fleet/support.ts';
import { doorOf } from '../../orchestrator/operations/support.ts';

async function commandLine(t: ExecutionContext) {
  const paths = await temporaryData(t);
  const program = join(import.meta.dirname, '../../../bin/bootwave');
  const env = { ...process.env, BOOTWAVE_REDIS_URL: '', SUDO_USER: 'anna' };
  const bootwave = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(program, ['--data', paths.root, ...args], { env });
    return { code, out: stdout.trim(), err: stderr.trim() };
  };
  const json = async (...args: string[]) => {
    const { code, out } = await bootwave(...args, '--json');
    return { code, value: JSON.parse(out) };
  };
  return { paths, bootwave, json };
}

test('a site admin sees a node, compares its words and approves it, while the server runs', async (t) => {
  const { paths, bootwave, json } = await commandLine(t);
  const server = await connect(paths, { url: '' });
  t.teardown(server.close);
  await doorOf(t, paths);
  const e = enrolment(1, 1, { at: Date.now() });
  await withFleet(paths, async (fleet) => {
    await directoryOn(fleet).enrol(e);
  });

  const list = await bootwave('node', 'list');
  t.is(list.code, 0, list.err);
  for (const word of [
    'pending',
    'node-aaaaaa',
    'default',
    'tpm-aaaaaa00',
    e.words.join(' '),
    '10.0.0.1',
    '1.0',
  ]) {
    t.true(list.out.includes(word), word);
  }
  t.regex(list.out, /registered 0 +reachable 0 +healthy 0 +usable 0/);
  t.regex(list.out, /bootwave node approve node-aaaaaa/);

  const unseen = await bootwave('node', 'approve', 'node-aaaaaa');
  t.is(unseen.code, 1);
  t.regex(unseen.err, /WORDS_MISSING/);
  const wrong = await json('node', 'approve', 'node-aaaaaa', '--words', 'one two n1 other');
  t.is(wrong.code, 1);
  t.like(wrong.value.error, { code: 'WORDS_DIFFER', unchanged: 'nothing was changed' });

  const [approved, show] = [
    await json('node', 'approve', macOf(1), '--words', ' One  two, n1 b1 ', '--name', 'web1'),
    await json('node', 'show', 'web1'),
  ];
  t.like(approved, { code: 0, value: { name: 'web1', state: 'enrolled', approvedBy: 'operator:anna' } });
  t.like(show.value, { id: e.id, reason: 'the four words agree', lastSeen: null, boots: [] });

  const audit = await json('audit', '--node', 'web1');
  t.deepEqual(
    (audit.value as { action: string }[]).map((entry) => entry.action),
    ['enrol', 'refused', 'approve'],
  );
  t.like(await json('node', 'retire', 'web1', '--reason', 'scrapped'), { value: { state: 'retired' } });
  t.is((await server.redis.ping()) as string, 'PONG', 'commands must not stop the server of bootwave up');
});

test('commands keep what they wrote, and say what to do when they refuse', async (t) => {
  const { paths, bootwave, json } = await commandLine(t);
  await doorOf(t, paths);
  t.is((await bootwave('site', 'add', 'lab1', '--accept-unknown', 'no', '--without-tpm', 'keep')).code, 0);
  const expected = await bootwave('node', 'expect', '--serial', 'SN7', '--token', '--site', 'lab1');
  t.regex(expected.out, /token, shown only now: bw-[a-z2-9]{26}\n.*give --mac too/);
  const sites = await json('site', 'list');
  t.like(sites.value[1], { name: 'lab1', policy: { acceptUnknown: false, noTpm: 'keep', bios: 'allow' } });
  const open = await bootwave('node', 'expect', '--list', '--json');
  t.like(JSON.parse(open.out)[0], { site: 'lab1', by: 'operator:anna' });
  t.false(open.out.includes(/token: (bw-\S+)/.exec(expected.out)?.[1] ?? 'bw-'));

  const nobody = await bootwave('node', 'reject', 'web9');
  t.deepEqual([nobody.code, nobody.out], [1, '']);
  t.regex(
    nobody.err,
    /there is no node 'web9' \[NODE_UNKNOWN\]\n +unchanged: .*\n +next: 'bootwave node list'/,
  );
  t.is((await bootwave('node', 'list', '--state', 'nonsense')).code, 2);
});
