/** docs/slices.md, followed by the core team on its server, and by an owner elsewhere with a certificate and nothing else. */
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { loadAuthority, rootPem } from '../../keys/authority.ts';
import { openDoor } from '../../orchestrator/operations/door.ts';
import { openNetworkDoor } from '../../orchestrator/operations/network-door.ts';
import { serverIdentity } from '../../orchestrator/up/server-certificate.ts';
import { folder } from '../image/services/oci.ts';
import { houseOf } from '../orchestrator/operations/support.ts';
import { servicesFor } from '../orchestrator/services/world.ts';
import { commandsOf, pageAt, REPOSITORY } from './pages.ts';

test('a slice is given, and its owner has a whole day with it from elsewhere', async (t) => {
  t.timeout(10 * 60_000);
  const { paths, member, release } = await servicesFor(t);
  for (const n of [1, 2]) await member(n, []);
  await member(3, [], 'par');
  await release('shop:1.4', { ports: [{ name: 'http', protocol: 'tcp', port: 8080 }] });
  const stop = new AbortController();
  const request = async (_: string, op: string, { name }: { name: string }) => {
    t.is(op, 'logs');
    return { result: { lines: [{ at: 1, severity: 6, text: `${name} is up`, byNode: false }], more: false } };
  };
  const house = {
    ...(await houseOf(t, paths)),
    signal: stop.signal,
    links: () => ({ request: request as never }),
  };
  const identity = await serverIdentity(await loadAuthority(paths.keys, 'servers'), null);
  const remote = await openNetworkDoor(house, {
    ...{ port: 0, rootPem: await rootPem(paths.keys) },
    identity: { current: () => identity, onChange: () => {} },
  });
  const local = await openDoor(house);
  t.teardown(async () => {
    stop.abort();
    await Promise.all([remote.done, local.done]);
  });
  const page = await pageAt('docs/slices.md');
  const cwd = await folder(t);
  const base = { ...process.env, BOOTWAVE_REDIS_URL: '' };
  // Elsewhere there is no data directory.
  const owner = {
    ...base,
    BOOTWAVE_DATA: join(cwd, 'absent'),
    BOOTWAVE_SERVER: `https://127.0.0.1:${remote.port}`,
  };
  let env: NodeJS.ProcessEnv = { ...base, BOOTWAVE_DATA: paths.root };
  const said: string[] = [];
  for (const line of commandsOf(page)) {
    if (line.startsWith('export')) {
      env = { ...owner, BOOTWAVE_OPERATOR: join(cwd, 'eve.pem') };
      continue;
    }
    const command = line.replace(/^bootwave/, join(REPOSITORY, 'bin/bootwave'));
    const { stdout } = await mustRun('bash', ['-c', command], { cwd, env });
    said.push(`${line}\n${stdout}`);
  }
  const after = (start: string) => said.find((one) => one.startsWith(start)) ?? '';
  t.regex(after('bootwave slice plan'), /comes +node-\S+ +default/);
  t.regex(after('bootwave slice create'), /nodes +3 of 3, at most 2 per site/);
  t.regex(after('bootwave slice create spread'), /nodes +1 of 1; grows to 8 by itself/);
  t.regex(after('bootwave slice list'), /probe +live +\d{4}-\d\d-\d\d \d\d:\d\d +3 of 3/);
  t.regex(after('bootwave slice show'), /owners +eve\n/);
  t.regex(after('bootwave slice run'), /services +shop:1\.4\n[\s\S]*rollout +ro-[0-9a-f]{8}: running/);
  t.regex(after('bootwave slice logs'), /node-\S+ shop@probe: fleet\/shop@probe is up/);
  // Nobody drives the rollout here.
  t.regex(
    after('bootwave slice top'),
    /no order of its nodes names a service of it yet[\s\S]*^probe +3 +0 of 0 +- +60 % +- +192 MiB/m,
  );
  t.regex(after('bootwave slice metrics'), /^bootwave_slice_nodes\{slice="probe"\} 3$/m);
  t.regex(after('bootwave slice extend'), /lasts until/);
  t.regex(after('bootwave slice stop'), /services +none/);
  t.regex(after('bootwave slice delete'), /has ended/);
});
