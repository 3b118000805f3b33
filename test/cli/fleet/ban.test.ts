/** The commands as people run them, on a real data directory. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { exists } from '../../../base/files.ts';
import { run } from '../../../base/run.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { withFleet } from '../../../orchestrator/operators/with-fleet.ts';
import { directoryOn, enrolment, temporaryData } from '../../orchestrator/fleet/support.ts';
import { doorOf } from '../../orchestrator/operations/support.ts';
import { keysIn } from '../../support/keys.ts';

test('a node is banned and listed; a lost Redis forgets nothing; without a server nothing old is shown', async (t) => {
  const paths = await temporaryData(t);
  await keysIn(paths.keys);
  const program = join(import.meta.dirname, '../../../bin/bootwave');
  const env = { ...process.env, BOOTWAVE_REDIS_URL: '', SUDO_USER: 'anna', BOOTWAVE_LOG: 'silent' };
  const bootwave = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(program, ['--data', paths.root, ...args], { env });
    return { code, out: stdout.trim(), err: stderr.trim() };
  };
  const e = enrolment(1, 1, { at: Date.now() });
  await withFleet(paths, async (fleet) => {
    await directoryOn(fleet).enrol(e);
    await fleet.approve(e.id, e.words, { actor: 'operator:anna', at: Date.now() }, 'web1');
  });

  t.regex((await bootwave('ban', 'list')).err, /SERVER_NOT_RUNNING/);
  const first = await doorOf(t, paths);
  t.regex((await bootwave('ban', 'add', '--reason', 'x')).err, /BAN_TARGET/);
  const added = await bootwave('ban', 'add', 'web1', '--reason', 'stolen \u001b[2J');
  t.regex(added.out, /^web1 is banned \([0-9a-f]{16}\); it can neither connect nor enrol/, added.err);
  const certificate = await bootwave('ban', 'add', '--serial', 'AB:CD', '--reason', 'leaked');
  t.regex(certificate.out, /^certificate abcd is banned .*no node's current/);
  await first.close();
  await rm(paths.redis, { recursive: true });
  t.regex(
    (await bootwave('ban', 'list')).err,
    /nobody has listened .* since \d{4}-.* \[SERVER_NOT_RUNNING\]/,
  );
  t.false(await exists(paths.redis), 'a question starts no Redis');
  await doorOf(t, paths);
  const list = await bootwave('ban', 'list');
  t.regex(list.out, /anna +web1 \(tpm-aaaaaa00\) +stolen/, list.err);
  t.false(list.out.includes('\u001b'), 'a reason cannot move the cursor');
  const { revision, bans } = JSON.parse((await bootwave('ban', 'list', '--json')).out);
  t.is(revision, 2);
  const { id } = bans.find(({ nodes }: { nodes: string[] }) => nodes.length > 0);
  const lift = ['ban', 'lift', id.slice(0, 8), '--reason', 'found'];
  t.regex((await bootwave(...lift)).err, /REQUEST_CERTIFICATE/, 'root is not two people');
  t.regex((await bootwave('ban', 'list')).out, /stolen/);
  t.is(
    (await readFile(journalFile(paths), 'utf8'))
      .trim()
      .split('\n')
      .filter((line) => /"kind":"(ban|sealed)"/.test(line)).length,
    3,
    'the first line, and two bans: appended only',
  );
});
