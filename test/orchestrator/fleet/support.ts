import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type DataPaths, dataPaths } from '../../../base/paths.ts';
import type { Sealer, SealJudge } from '../../../orchestrator/fleet/decisions/seal.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { type Connection, connect } from '../../../orchestrator/redis/connect.ts';
import { silent } from '../../support/own-redis.ts';
import { anyImage } from './any-image.ts';
import { pcr11, START } from './machines.ts';

export * from '../../support/own-redis.ts';
export * from './machines.ts';

type Server = Connection & { paths: DataPaths };

/** A few real Redis servers per test file, lent to one test at a time and emptied in between. */
const SERVERS = 3;
const pool: { made: Promise<Server>[]; idle: Server[]; waiting: ((server: Server) => void)[] } = {
  made: [],
  idle: [],
  waiting: [],
};

async function borrow(t: ExecutionContext): Promise<Server> {
  const make = async () => {
    const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-')));
    return { ...(await connect(paths, { url: '' })), paths };
  };
  const take = (): Promise<Server> => {
    const idle = pool.idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (pool.made.length >= SERVERS) return new Promise((resolve) => pool.waiting.push(resolve));
    const made = make();
    pool.made.push(made);
    return made;
  };
  const server = await take();
  t.teardown(async () => {
    await server.redis.flushall();
    const next = pool.waiting.shift();
    if (next === undefined) pool.idle.push(server);
    else next(server);
  });
  return server;
}

test.after.always('stop the servers', async () => {
  for (const server of await Promise.all(pool.made)) {
    await server.close();
    await rm(server.paths.root, { recursive: true, force: true });
  }
});

export { anyImage };

/** A fleet on a real Redis, one site's directory on it, and a clock that only the test moves. */
/** Stands for the key of a servers CA where no keys are made. */
export const testSealer: Sealer = async () => (text) => `sealed ${text.length}`;
export const testSealed: SealJudge = async (text, seal) => seal === `sealed ${text.length}`;

export async function fleetFor(t: ExecutionContext) {
  const { redis, paths } = await borrow(t);
  const fleet = new Fleet(redis, testSealer);
  const clock = { now: START };
  const at = (site: string, image: string | null = '1.0') =>
    new FleetDirectory({
      ...anyImage,
      ...{ fleet, site, pcr11, log: silent },
      defaultImage: async () => image,
      now: () => clock.now,
    });
  const by = (name = 'test') => ({ actor: `operator:${name}`, at: clock.now });
  return { redis, paths, fleet, clock, at, by, directory: at('default') };
}

/** One site's directory, for which version 1.0 is the image of new hardware, with the clock of this machine. */
export const directoryOn = (fleet: Fleet, site = 'default') =>
  new FleetDirectory({
    ...anyImage,
    ...{ fleet, site, defaultImage: async () => '1.0', pcr11, log: silent },
  });
