import test from 'ava';
import { historyText } from '../../../cli/node/history.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

test.serial(
  'the life of a node is told oldest first, with who did what and why, also when it is retired',
  async (t) => {
    const { fleet, directory, by, clock, paths } = await fleetFor(t);
    const bootwave = commandsOn(t, paths.root);
    const e = enrolment(1);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by('bob'), 'web1');
    await directory.recordCertificate(e.id, certificateFor(e));
    clock.now += 60_000;
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
    await fleet.audit.append({
      ...{ at: clock.now, actor: 'rollout', node: e.id, action: 'rollout', reason: 'its turn' },
      ...{ from: 'pending', to: 'staging', detail: { rollout: 'ro-1' } },
    });
    const ask = (...args: string[]) => bootwave('anna', 'node', 'history', ...args);

    const lines = (await ask('web1')).out.split('\n');
    t.regex(lines[0]!, /^WHEN \(UTC\) +WHO +WHAT +STATE +WHY$/);
    t.regex(lines[1]!, /^2027-01-15 08:00:00 +node +enrol +discovered -> pending +waits for approval$/);
    t.regex(lines[2]!, /operator:bob +approve +pending -> enrolled +the four words agree$/);
    t.regex(lines.at(-2)!, /^2027-01-15 08:01:00 +node +heartbeat +enrolled -> healthy +first heartbeat$/);
    t.regex(lines.at(-1)!, /rollout +rollout ro-1 +pending -> staging +its turn$/);

    t.is((await ask('web1', '--last', '1')).out.split('\n').length, 2);
    t.deepEqual((await ask('web1', '--since', '2100-01-01')).out, 'nothing is on record');
    await fleet.retire(e.id, 'sold', by('bob'));
    const gone = await ask(e.id, '--json');
    t.like(gone.value[0], { action: 'enrol', to: 'pending' });
    t.like(gone.value.at(-1), { action: 'retire', actor: 'operator:bob', reason: 'sold', to: 'retired' });
    t.is((await ask('web9')).code, 'NODE_UNKNOWN');
  },
);

test('what a machine wrote cannot rewrite the terminal', (t) => {
  const entry = {
    at: 0,
    actor: 'node',
    action: 'heartbeat',
    from: 'healthy',
    to: 'degraded',
    reason: 'bad\x1b[2J\nx',
  };
  t.is(historyText([entry]).split('\n').length, 2);
  t.false(historyText([entry]).includes('\x1b'));
});
