/** A switch of one rack fails in the middle of a wave: that is no fault of what is rolled out, and ends by itself. */
import test from 'ava';
import type { RolloutState } from '../../orchestrator/rollout/engine.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve, ended, publishConfig, startRollout, untilRollout } from '../support/rollout.ts';

/** Two of one rack, one of another. */
const NODES = ['one', 'two', 'far'] as const;
let rack: Rack;

rackFor(
  test,
  'switch',
  NODES.map((name) => ({ name, firmware: 'bios' })),
  async (made) => {
    rack = made;
    await rack.startServer();
    for (const name of NODES) {
      await rack.lab.powerOn(name);
      await approve(rack, name);
      await rack.bootwave('node', 'set', name, '--rack', name === 'far' ? 'r2' : 'r1');
    }
  },
  { minutes: 30 },
);

const statesOf = ({ nodes }: RolloutState) =>
  Object.fromEntries([...nodes.values()].map(({ name, state }) => [name, state]));

test.serial(
  'the ports of a rack go off in the middle of a wave: paused with its name, resumed by itself, nobody taken back',
  async (t) => {
    await publishConfig(rack, '1.0', { sysctls: { 'vm.swappiness': 10 } });
    const id = await startRollout(rack, {
      ...{ config: '1.0', nodes: { all: true }, order: 'name' },
      waves: [{ name: 'first', select: { names: ['one'] } }, { take: 'rest' }],
      bake: { node: '60s', wave: '5s' },
      timeouts: { silent: '40s', unhealthy: '20m', activate: '20m' },
    });
    await untilRollout(rack, id, (state) => statesOf(state).one === 'baking');
    for (const name of ['one', 'two']) await rack.lab.link(name, false);
    const { rollout: paused } = await untilRollout(rack, id, ({ rollout }) => rollout.state === 'paused');
    t.like(paused.held?.cause, { kind: 'rack', site: 'default', rack: 'r1' });
    t.regex(paused.why, /r1/);
    t.is(paused.failures, 0);

    for (const name of ['one', 'two']) await rack.lab.link(name, true);
    const end = await ended(rack, id);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.deepEqual(statesOf(end), { one: 'done', two: 'done', far: 'done' });
    t.is(end.rollout.failures, 0);
    const { stdout } = await rack.bootwave('rollout', 'history', id, '--all', '--json');
    const events = JSON.parse(stdout) as { what: string; by: string; from: string; to: string }[];
    t.false(events.some(({ to }) => to === 'rolling-back'));
    const resumed = events.filter(({ what, from }) => what === 'rollout' && from === 'paused');
    t.deepEqual(
      resumed.map(({ to, by }) => [to, by]),
      [['running', 'rollout']],
      'and no person resumed it',
    );
  },
);
