import test, { type ExecutionContext } from 'ava';
import { Draft } from '../../../orchestrator/rollout/draft.ts';
import { fleetOf } from './fleet.ts';
import { Script } from './script.ts';

const LOOSE = {
  limits: { whole: 1000, site: 1000, rack: 1000, down: 'ignore' },
  budget: { wave: 0, whole: 0 },
};

/** How often the whole fleet was read in the busiest tick of an outage of site s0, which has half of the nodes. */
function busiestTick(t: ExecutionContext, nodes: number): number {
  const s = new Script(fleetOf(nodes, 2), { bake: { node: '1h', wave: '1m' }, ...LOOSE });
  s.start();
  s.upgrade(...s.in('staging'));
  t.is(s.in('baking').length, nodes);
  const heard = s.in('baking').filter((id) => s.node(id).site === 's1');
  const everybody = Draft.prototype.everybody;
  let most = 0;
  let reads = 0;
  Draft.prototype.everybody = function counted(this: Draft) {
    reads += 1;
    return everybody.call(this);
  };
  try {
    for (let i = 0; i < 60; i += 1) {
      reads = 0;
      s.pass(10, heard);
      most = Math.max(most, reads);
    }
  } finally {
    Draft.prototype.everybody = everybody;
  }
  t.like(s.rollout.held?.cause, { kind: 'site', site: 's0' });
  t.is(s.rollout.failures, 0);
  return most;
}

test('a site that goes silent is compared with the rest once a tick, however many nodes it has', (t) => {
  t.is(busiestTick(t, 80), busiestTick(t, 20));
});
