/** A data directory that commit 6c0a013 wrote (test/fixtures/data-6c0a013): it opens without a step of anybody's. */

import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { listConfigs } from '../../../orchestrator/config/store.ts';
import { DecisionJournal, journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../../orchestrator/fleet/decisions/keeper.ts';
import { sealerOf, sealJudge } from '../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { readIssued } from '../../../orchestrator/orders/issued.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { readFloor } from '../../../orchestrator/releases/floor.ts';
import { readWithdrawn } from '../../../orchestrator/releases/withdrawn.ts';
import { advance } from '../../../orchestrator/rollout/engine.ts';
import { listRollouts } from '../../../orchestrator/rollout/run/list.ts';
import { operate } from '../../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { Consents } from '../../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { keysIn } from '../../support/keys.ts';
import { enrolment, START, silent, temporaryData } from '../fleet/support.ts';

const FIXTURE = join(import.meta.dirname, '../../fixtures/data-6c0a013');

async function older(t: ExecutionContext) {
  const paths = await temporaryData(t);
  await cp(FIXTURE, paths.root, { recursive: true });
  await keysIn(paths.keys);
  const connection = await connect(paths, { url: '' });
  t.teardown(connection.close);
  return { paths, redis: connection.redis, fleet: new Fleet(connection.redis, sealerOf(paths.keys)) };
}

test('nodes, sites, expectations, bans and consents are as they were', async (t) => {
  const { paths, fleet } = await older(t);
  const nodes = await fleet.nodes.getMany(await fleet.nodes.ids());
  t.deepEqual(nodes.map(({ name, state }) => `${name} ${state}`.replace(/^node-\S+/, 'node')).toSorted(), [
    'node pending',
    'node pending',
    'web1 healthy',
    'web2 retired',
    'web3 quarantined',
  ]);
  t.is((await fleet.nodes.resolve('web1')).id, enrolment(1).id);
  t.is((await fleet.nodes.resolve('52:54:00:00:00:01')).id, enrolment(1).id, 'by its MAC');
  t.is((await fleet.nodes.resolve('SN1')).id, enrolment(1).id, 'by its serial number');
  t.is((await fleet.sites.get('munich')).policy.attestation, 'enforce');
  t.is((await fleet.expectations.list())[0]?.name, 'web99');
  const keeper = await DecisionKeeper.open({
    fleet,
    journal: new DecisionJournal(journalFile(paths)),
    holds: async () => false,
    sealed: sealJudge(paths.keys),
    log: silent,
  });
  await keeper.look();
  t.not(keeper.banOf({ id: enrolment(3).id }), null);
  const { floor, withdrawn, wipes } = await new Consents(signerFiles(paths).consents).current();
  t.is(floor, '1.0');
  t.deepEqual([...withdrawn], ['0.9']);
  t.deepEqual([...wipes.keys()], [enrolment(1).id]);
  t.true((await fleet.audit.read()).length > 10);
});

test('releases, configurations, orders and rollouts go on', async (t) => {
  const { redis } = await older(t);
  t.is(await readFloor(redis), '1.0');
  t.deepEqual(Object.keys(await readWithdrawn(redis)), ['0.9']);
  t.deepEqual(
    (await listConfigs(redis)).map(({ version }) => version),
    ['1.0'],
  );
  const all = await listRollouts(redis);
  t.deepEqual(all.map(({ state }) => state).toSorted(), ['planned', 'running']);
  const running = all.find(({ state }) => state === 'running')!;
  const state = await readState(redis, running.id);
  t.is((await readIssued(redis, [...state.nodes.keys()])).size, 4);
  const step = advance(state, { at: START + 1000, elapsed: 1000, events: [{ type: 'tick' }] });
  t.is(step.rollout.state, 'running');
  const planned = all.find((one) => one.state === 'planned')!;
  t.is((await operate(redis, planned.id, { type: 'start', by: 'operator:ann' })).state, 'running');
  t.is((await operate(redis, running.id, { type: 'abort', by: 'operator:ann', why: 'x' })).state, 'aborting');
});
