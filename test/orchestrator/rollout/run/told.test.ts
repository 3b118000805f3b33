/** What the log of a server says of rollouts: who or what changed each of them, and nothing of single nodes. */
import test from 'ava';
import { createWaiting, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { tellRollouts } from '../../../../orchestrator/rollout/run/told.ts';
import { checkSpec } from '../../../../orchestrator/rollout/spec.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { membersFor } from './members.ts';
import { benchFor, hasEnded } from './support.ts';

const ANN = 'operator:ann';

test.serial('each change of a rollout is one line, with who or why, from its start to its end', async (t) => {
  const { log, lines } = keptLog();
  const bench = await benchFor(t, { count: 3, log });
  bench.orchestrator();
  const id = await bench.start({ waves: [{ take: 1 }, { take: 'rest' }] });
  await bench.until(id, ({ rollout }) => rollout.clock > 0);
  await operate(bench.redis, id, { type: 'pause', by: ANN, why: `lunch${'!'.repeat(1000)}` });
  await operate(bench.redis, id, { type: 'resume', by: ANN });
  await bench.until(id, hasEnded);
  const told = lines.filter(({ code, rollout }) => code === 'ROLLOUT' && rollout === id);
  t.deepEqual(
    told.map(({ to, by }) => `${to} ${by}`),
    [`planned ${ANN}`, `running ${ANN}`, `paused ${ANN}`, `running ${ANN}`, 'done engine'],
  );
  t.regex(String(told[2]?.reason), /^lunch!{295}$/);
});

test('a step that was not written is not told; one that waits for its turn is', async (t) => {
  const { log, lines } = keptLog();
  const { redis, member, start } = await membersFor(t);
  tellRollouts(redis, log);
  await member(1);
  const id = await start({});
  await t.throwsAsync(operate(redis, id, { type: 'resume', by: ANN }), { code: 'ROLLOUT_CANNOT' });
  const checked = checkSpec({ image: '3.0', nodes: { all: true }, waves: [{}] });
  if (!checked.ok) throw new Error('no spec');
  const after = { rollout: id, how: 'after' } as const;
  await createWaiting(redis, [{ spec: checked.spec, source: '' }], after, { author: ANN, at: 1 });
  t.deepEqual(
    lines.map(({ to }) => to),
    ['planned', 'running', 'waiting'],
  );
});
