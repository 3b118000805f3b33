/** The nodes CA and the servers CA are replaced under real machines, with a boot server killed between the steps. */

import test from 'ava';
import { createLogger } from '../../base/log.ts';
import { generationsOf } from '../../keys/generations.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import { stopBootServer } from '../../lab/boot-server.ts';
import { runningServers } from '../../orchestrator/authorities/servers.ts';
import { DecisionJournal, journalFile } from '../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../orchestrator/fleet/decisions/keeper.ts';
import { sealJudge } from '../../orchestrator/fleet/decisions/seal.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { activate, prepare, type RotateOptions, revoke, taint } from '../../orchestrator/rotation/rotate.ts';
import { BOOT, type Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve } from '../support/rollout.ts';

/** Machines; fewer where the lab is busy. */
const COUNT = Number(process.env.BOOTWAVE_TEST_NODES ?? 3);
const NODES = [
  { name: 'one', firmware: 'bios' },
  { name: 'two', firmware: 'http' },
  { name: 'three', firmware: 'pxe' },
] as const;
const nodes = NODES.slice(0, COUNT).map(({ name }) => name);
const by = () => ({ actor: 'operator:test', at: Date.now() });
let rack: Rack;

rackFor(
  test,
  'ca',
  NODES.slice(0, COUNT),
  async (made) => {
    rack = made;
    await rack.startServer();
    for (const name of nodes) await rack.lab.powerOn(name);
    for (const name of nodes) await approve(rack, name);
    for (const name of nodes) await rack.until(name, ({ state }) => state === 'healthy');
  },
  { minutes: 40 },
);

const log = createLogger('test', 'silent');

/** One step, as a command takes it. */
function step<T>(act: (options: RotateOptions) => Promise<T>): Promise<T> {
  return rack.fleet(async (fleet) => {
    const journal = new DecisionJournal(journalFile(rack.paths));
    const keeper = await DecisionKeeper.open({
      fleet,
      journal,
      holds: async () => false,
      sealed: sealJudge(rack.paths.keys),
      log,
    });
    await keeper.look();
    const done = await act({ fleet, bans: keeper, paths: rack.paths, by: by(), reason: 'rotation' });
    await keeper.look();
    return done;
  });
}

/** Until the step is no longer refused for this reason. */
async function when<T>(code: string, act: (options: RotateOptions) => Promise<T>): Promise<T> {
  const end = performance.now() + BOOT;
  for (;;) {
    try {
      return await step(act);
    } catch (error) {
      if ((error as { code?: string }).code !== code || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

async function restart(): Promise<void> {
  await stopBootServer(rack.lab, 'SIGKILL');
  await rack.startServer();
}

const serverKnows = (id: string) => async (fleet: Fleet) =>
  (await runningServers(fleet.redis, Date.now())).some(({ loaded }) => loaded.includes(id));

async function replace(ca: AuthorityName): Promise<string> {
  const [first] = await generationsOf(rack.paths.keys, ca);
  const old = first?.id ?? '';
  const { id } = await step((options) => prepare(ca, options));
  await restart();
  while (!(await rack.fleet(serverKnows(id)))) await new Promise((resolve) => setTimeout(resolve, 1000));
  // A server that was killed still counts for a minute, and what it had loaded with it.
  await when('CA_NOT_LOADED', (options) => activate(ca, id, options));
  await restart();
  await step((options) => taint(ca, old, options));
  await when('CA_HELD', (options) => revoke(ca, old, options));
  return id;
}

test.serial(
  'every node stays a healthy member through both rotations, and holds a certificate of the new CA',
  async (t) => {
    t.timeout(60 * 60_000);
    const boots = await Promise.all(nodes.map(async (name) => (await rack.record(name)).observed.bootId));
    const since = Date.now();
    const id = await replace('nodes');
    for (const name of nodes) {
      const { identity, state } = await rack.record(name);
      t.is(identity.issuer, id, name);
      t.is(state, 'healthy', name);
    }
    await replace('servers');
    const after = Date.now();
    for (const [i, name] of nodes.entries()) {
      const { id: node } = await rack.record(name);
      const heard = await rack.fleet(async (fleet) => {
        const key = '{bootwave}:seen';
        for (;;) {
          if (Number(await fleet.redis.zscore(key, node)) > after) return fleet.audit.read({ node, since });
          await new Promise((resolve) => setTimeout(resolve, 1000));
        }
      });
      t.deepEqual(
        heard.filter(({ action, to }) => action === 'refused' || to === 'unreachable' || to === 'degraded'),
        [],
      );
      const record = await rack.record(name);
      t.is(record.state, 'healthy');
      t.is(record.observed.bootId, boots[i]!, 'nobody restarted');
    }
  },
);
