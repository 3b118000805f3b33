/** The door for people elsewhere, and operators who ask there with their certificates. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { loadAuthority, rootPem } from '../../../keys/authority.ts';
import { readCredential } from '../../../keys/credential.ts';
import { ask } from '../../../orchestrator/operations/client.ts';
import { openNetworkDoor } from '../../../orchestrator/operations/network-door.ts';
import type { House } from '../../../orchestrator/operations/operation.ts';
import { remoteWay } from '../../../orchestrator/operations/remote.ts';
import { serverIdentity } from '../../../orchestrator/up/server-certificate.ts';
import { operatorOf } from '../operators/people.ts';
import { servicesFor } from '../services/world.ts';
import { houseOf } from './support.ts';

const DAY = 24 * 3600_000;
export const MIB = 2 ** 20;
export const SHARE = { cpu: 20, memory: 64 * MIB, disk: 0, ports: ['tcp/8080'] };

/** A fleet with members, and the network's door before it. */
export async function elsewhere(t: ExecutionContext, links: House['links'] = () => undefined) {
  const world = await servicesFor(t);
  const { paths } = world;
  const house = await houseOf(t, paths);
  const stop = new AbortController();
  const identity = await serverIdentity(await loadAuthority(paths.keys, 'servers'), null);
  const { port, done } = await openNetworkDoor(
    { ...house, links, signal: stop.signal },
    {
      port: 0,
      rootPem: await rootPem(paths.keys),
      identity: { current: () => identity, onChange: () => {} },
    },
  );
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  const root = join(paths.root, 'root.pem');
  await writeFile(root, await rootPem(paths.keys));
  const as = async (claim: Parameters<typeof operatorOf>[1]) => {
    const { file, serial } = await operatorOf(paths, claim, Date.now());
    const way = await remoteWay({ url: `https://127.0.0.1:${port}`, as: file, root });
    const credential = await readCredential(file);
    const say = async <R>(operation: string, input: object = {}): Promise<R> => {
      const answered = await ask(way, { credential }, operation, input);
      return ('result' in answered ? answered.result : answered) as R;
    };
    return { say, way, credential, serial, file };
  };
  return { ...world, as, url: `https://127.0.0.1:${port}`, root };
}

/** What the core team says of a new slice. */
export const wish = (name: string, count: number, more: object = {}) => ({
  ...{ name, count, perSite: null, where: {}, share: SHARE, teams: [], expires: Date.now() + 30 * DAY },
  ...more,
});
