/** The commands as people run them: real processes on a real data directory. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../../base/run.ts';
import { AuditLog } from '../../../orchestrator/fleet/audit/audit.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { redisFor } from '../../orchestrator/fleet/support.ts';
import { doorOf } from '../../orchestrator/operations/support.ts';

test('a history is verified, exported, checked elsewhere, damaged, and accepted as damaged', async (t) => {
  const { paths, redis } = await redisFor(t);
  await doorOf(t, paths);
  const program = join(import.meta.dirname, '../../../bin/bootwave');
  const env = { ...process.env, BOOTWAVE_REDIS_URL: '' };
  const audit = (...args: string[]) => run(program, ['--data', paths.root, 'audit', ...args], { env });
  const log = new AuditLog(redis);
  for (const at of [1, 2, 3])
    await log.append({ at, actor: 'operator:ann', action: 'note', reason: `${at}` });

  const verified = await audit('verify');
  t.is(verified.code, 0, verified.stderr);
  t.regex(verified.stdout, /the history is whole: 3 entries fit, the newest is 3/);
  t.regex(await readFile(join(paths.root, 'audit/seals.jsonl'), 'utf8'), /"seq":3/);

  const file = join(paths.root, 'export');
  t.is((await audit('export', '--to', file)).code, 0);
  t.regex((await audit('export', '--to', file)).stderr, /AUDIT_FILE/, 'never over a file that is there');
  t.is((await audit('export')).stdout, await readFile(file, 'utf8'));
  t.regex((await audit('verify', file)).stdout, /is whole: entries 1 to 3/);
  await writeFile(file, (await readFile(file, 'utf8')).replace('operator:', 'nobody:'));
  t.like(await audit('verify', file), { code: 1 });

  t.regex((await audit('accept', '--reason', 'x')).stderr, /AUDIT_WHOLE/);
  const [, second] = await redis.xrange(KEYS.audit, '-', '+');
  await redis.xdel(KEYS.audit, second?.[0] ?? '');
  const broken = await audit('verify', '--json');
  t.is(broken.code, 1);
  t.like(JSON.parse(broken.stdout).error, { code: 'AUDIT_BROKEN', unchanged: 'nothing was sealed' });
  t.regex(broken.stdout, /from entry 2 on/);
  t.is((await audit('accept', '--reason', 'the disk failed')).code, 0);
  const again = await audit('verify');
  t.regex(
    again.stdout,
    /behind entry 4 only: operator:.* accepted that entry 2 is missing \(the disk failed\)/,
  );
  t.regex((await audit()).stdout, /accept-audit +the disk failed/);
});
