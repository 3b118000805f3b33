/** A node through many lives of its certificate: real agent, real TLS, real records, and a clock that only waits move. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { createLogger } from '../../../../base/log.ts';
import { dataPaths } from '../../../../base/paths.ts';
import { startEnrolment } from '../../../../bootserver/enroll/server.ts';
import { Agent } from '../../../../image/agent/member/agent.ts';
import type { View } from '../../../../image/agent/member/core/state.ts';
import { FleetDirectory } from '../../../../orchestrator/fleet/directory.ts';
import { Fleet as Records } from '../../../../orchestrator/fleet/fleet.ts';
import { connect } from '../../../../orchestrator/redis/connect.ts';
import { Fleet } from '../../../bootserver/enroll/support/fleet.ts';
import { helperOn, RUNNING } from '../../../bootserver/enroll/support/node.ts';
import { anyImage } from '../../../orchestrator/fleet/any-image.ts';

const fleet = await Fleet.make();
const connection = await connect(dataPaths(join(fleet.folder, 'data')), { url: '' });
const silent = createLogger('test', 'silent');
test.after.always(async () => {
  await connection.close();
  await fleet.remove();
});

/** Seconds. */
const LIFE = 24;
const HEARTBEAT = 2;
const LIVES = 6;

test('with a life of seconds a node renews in time, over and over, and is never refused nor silent', async (t) => {
  const records = new Records(connection.redis);
  // In the past: certificates that the test's clock takes for valid may be over for OpenSSL's, but never lie ahead.
  const clock = { now: Date.now() - 3600_000 };
  const now = () => clock.now;
  const start = clock.now;
  const directory = new FleetDirectory({
    ...anyImage,
    fleet: records,
    site: 'default',
    defaultImage: async () => '1.0',
    // A software TPM that no firmware has written to.
    pcr11: async () => '00'.repeat(32),
    log: silent,
    now,
  });
  const stop = new AbortController();
  const { key, chain } = fleet.serverLeaf();
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port: 0 },
    serverKey: key,
    serverChainPem: chain,
    nodesAuthority: fleet.authorities.nodes,
    rootPem: fleet.root,
    directory,
    log: silent,
    heartbeatSeconds: HEARTBEAT,
    certificateLife: LIFE * 1000,
    hold: { most: 0, look: 1 },
    signal: stop.signal,
    now,
  });
  const folder = join(fleet.folder, 'machine');
  await mkdir(folder);
  const helper = helperOn(folder, null);
  const views: View[] = [];
  const gone = new AbortController();
  const agent = new Agent({
    rootPem: fleet.root,
    askHelper: helper.askHelper,
    facts: helper.facts,
    wipe: async () => ({ report: '{}', open: false }),
    showDisks: async () => '{}',
    discover: async () => [`https://127.0.0.1:${server.port}`],
    heartbeat: async () => ({ running: RUNNING, uptime: 1, healthy: true, reason: '' }),
    show: (view) => views.push(view),
    now,
    random: Math.random,
    signal: gone.signal,
    async sleep(milliseconds) {
      clock.now += milliseconds;
      const [waiting] = await records.nodes.ids({ state: 'pending' });
      const record = waiting === undefined ? null : await records.nodes.get(waiting);
      if (record !== null) await records.approve(record.id, record.words, { actor: 'operator:t', at: now() });
      if (clock.now - start > LIVES * LIFE * 1000) gone.abort();
      await turn();
    },
  });
  await agent.run();
  stop.abort();
  await server.closed;

  const history = await records.audit.read();
  t.deepEqual(
    history.filter(({ action }) => action === 'refused'),
    [],
  );
  const certified = history.filter(({ action }) => action === 'certify').map(({ at }) => at);
  const gaps = certified.slice(1).map((at, i) => (at - certified[i]!) / 1000);
  t.true(gaps.length >= LIVES, `${certified.length} certificates`);
  for (const gap of gaps) {
    t.true(gap < LIFE, `renewed after ${gap} s of ${LIFE}`);
    t.true(gap > LIFE / 3, `renewed after ${gap} s already`);
  }
  const phases = views.map(({ phase }) => phase);
  t.deepEqual([...new Set(phases)], ['starting', 'searching', 'enrolling', 'pending', 'approved', 'healthy']);
  t.is(phases.lastIndexOf('enrolling') < phases.indexOf('healthy'), true, 'healthy through all renewals');
  const [id] = await records.nodes.ids();
  const record = (await records.nodes.get(id!))!;
  t.is(record.state, 'healthy');
  t.true(record.identity.notAfter! > now());
});
