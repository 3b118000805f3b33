/** What is different about configurations for the engine and its plan. */
import test from 'ava';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import { FACTS, node, planOf } from './fleet.ts';
import { Script } from './script.ts';

const LOOSE = { limits: { whole: '100%', site: '100%', rack: 100 }, budget: { wave: '100%', whole: '100%' } };
const FROM_C0 = { ...FACTS, configs: ['c0', 'c1'] };

/** On its way to c1 with c0 before it. */
function script(more: Partial<PlanNode> = {}, spec: Record<string, unknown> = {}): Script {
  const s = new Script(
    [node('a', { config: 'c0', ...more })],
    { image: undefined, config: 'c1', ...LOOSE, ...spec },
    FROM_C0,
  );
  s.start();
  return s;
}

test('a diskless node that restarts is brought its configuration again, a few times', (t) => {
  const s = script({ mode: 'netboot' }, { flaps: 1 });
  t.like(s.lastCommand('a'), { kind: 'stage', how: 'network', of: 'config', version: 'c1' });
  s.upgrade('a');
  t.is(s.node('a').state, 'baking');
  const { epoch } = s.lastCommand('a');
  const restarts = (boot: string) => s.send(s.report('a', { config: null, epoch: 0, bootId: boot }));
  restarts('second');
  t.is(s.node('a').state, 'activating');
  t.like(s.lastCommand('a'), { kind: 'activate', version: 'c1', epoch: epoch + 1 });
  s.obey('a');
  t.is(s.node('a').state, 'baking');
  restarts('third');
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
});

test('an installed node that loses its configuration in the bake has failed', (t) => {
  const s = script();
  s.upgrade('a');
  s.send(s.report('a', { config: null, epoch: 0, bootId: 'second' }));
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
  t.like(s.lastCommand('a'), { kind: 'rollback', version: 'c0', drop: 'c1' });
});

test('one that took it back by itself says why', (t) => {
  const s = script();
  s.upgrade('a');
  const { epoch } = s.lastCommand('a');
  s.send(s.report('a', { config: 'c0', epoch, reason: 'nobody reached it' }));
  t.like(s.node('a'), {
    state: 'rolling-back',
    failed: true,
    why: 'runs c0 instead of c1: nobody reached it',
  });
});

test('a node that has lost its configuration before its turn is given the new one', (t) => {
  const s = script({}, { notBefore: '2030-01-01T00:00:00Z' });
  s.send(s.report('a', { config: null, epoch: 0, bootId: 'second' }));
  t.is(s.node('a').state, 'pending');
  s.at = Date.parse('2030-01-01T00:00:01Z');
  s.send({ type: 'tick' });
  t.is(s.node('a').state, 'staging');
  s.send(s.report('a', { config: null, epoch: 0, bootId: 'second' }));
  t.is(s.node('a').state, 'staging');
  s.upgrade('a');
  t.is(s.node('a').state, 'baking');
});

test('gates that a restart has to pass hold up no configuration', (t) => {
  const gates = [{ kind: 'pcr11' }, { kind: 'attested' }];
  const plan = planOf([node('a', { tpm: false })], { image: undefined, config: 'c1', gates }, FROM_C0);
  t.deepEqual(plan.skipped, []);
  const s = script({}, { gates });
  s.upgrade('a');
  t.is(s.node('a').state, 'baking');
});

test('a refusal for good is a failure at the first try', (t) => {
  const s = script({}, { attempts: 5 });
  s.obey('a');
  const { epoch } = s.lastCommand('a');
  s.send({
    type: 'refused',
    node: 'a',
    epoch,
    code: 'refuses-version',
    why: 'CONFIG_NOT_APPLIED',
    has: epoch,
  });
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
  s.obey('a');
  t.like(s.node('a'), { state: 'rolled-back', running: 'c0' });
});
