/** From a bad quote to the fence: of one node, and of 1,000 nodes at once (BENCH_NODES) with the breaker raised by hand. */
// The fleet is on a real Redis with the log of decisions on a disk; machines are words to its directory, as lab/sim has them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { initKeys } from '../../keys/init.ts';
import { beginDecisions } from '../../orchestrator/fleet/decisions/confirm.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import { openFleet } from '../../orchestrator/operators/bans-of.ts';
import { Watch } from '../../orchestrator/recovery/watch.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { anyImage } from '../orchestrator/fleet/any-image.ts';
import { beatOfBoot, certificateFor, enrolment, pcr11 } from '../orchestrator/fleet/machines.ts';

const NODES = Number(process.env.BENCH_NODES ?? 1000);
const ROUNDS = 9;
const log = createLogger('bench', 'silent');
const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-bench-')));
await initKeys(paths.keys);
const connection = await connect(paths, { url: '' });
try {
  const { fleet, bans } = await openFleet(paths, connection.redis, log);
  const by = { actor: 'operator:bench', at: Date.now() };
  await beginDecisions(fleet, log, by);
  await fleet.sites.set('default', { automation: 'fence', recovery: 'wipe' }, by);
  const breaker = () => null;
  const watch = new Watch({ fleet, site: 'default', attestMinutes: 30, breaker, log });
  const directory = new FleetDirectory({
    ...{ ...anyImage, fleet, site: 'default', pcr11, bans, log },
    limits: { pending: 1e6, pendingOfSite: 1e6 },
    defaultImage: async () => '1.0',
    saw: (sight) => watch.saw(sight),
  });
  const all = ROUNDS + NODES;
  for (let n = 1; n <= all; n += 1) {
    const one = enrolment(n, 1, { at: Date.now() });
    await directory.enrol(one);
    await fleet.approve(one.id, one.words, by);
    await directory.recordCertificate(one.id, certificateFor(one));
    await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one));
  }
  const signal = async (n: number) => {
    const { id, akName, pcrs, firmware, address } = enrolment(n);
    const clock = { milliseconds: 5000, resets: 1, restarts: 0, safe: true };
    const wrong = { ...pcrs, '11': 'ee'.repeat(32) };
    const shown = {
      akName: akName!,
      nonceNumber: 2 ** 50,
      pcrs: wrong,
      clock,
      firmware,
      address,
      at: Date.now(),
    };
    await directory.reattest(id, certificateFor(enrolment(n)).serial, shown);
  };
  const fenced = () => fleet.decisions.incidents.all.filter(({ step }) => step === 'fenced').length;
  const took: number[] = [];
  for (let n = 1; n <= ROUNDS; n += 1) {
    const began = performance.now();
    await signal(n);
    await watch.settled();
    took.push(performance.now() - began);
  }
  if (fenced() !== ROUNDS) throw new Error(`${fenced()} of ${ROUNDS} are fenced`);
  took.sort((a, b) => a - b);
  console.log(
    `one node, from its quote to fenced: median ${took[4]!.toFixed(0)} ms, slowest ${took.at(-1)!.toFixed(0)} ms (goal 1000)`,
  );
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: NODES }, (_, i) => signal(ROUNDS + 1 + i)));
  while (fenced() < all) {
    await watch.settled();
    if (performance.now() - began > 600_000) throw new Error(`${fenced()} of ${all} are fenced`);
  }
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  console.log(
    `${NODES} nodes at once: all fenced after ${seconds.toFixed(1)} s (goal 10), ${((user + system) / 1e6).toFixed(1)} s of CPU here`,
  );
} finally {
  await connection.close();
  await rm(paths.root, { recursive: true, force: true });
}
process.exit(0);
