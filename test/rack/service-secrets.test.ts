/** A secret on a real node: firmware with Secure Boot, a TPM, root's units as they are confined, and an instance that reads it. */

import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { bootServerLog } from '../../lab/boot-server.ts';
import type { ServiceStatus } from '../../protocol/link/messages.ts';
import { type Bundle, makeBundle } from '../image/agent/root/services/bundles.ts';
import { deliver, orderServices } from '../support/deliver.ts';
import { BOOT, type Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve } from '../support/rollout.ts';
import { fetched, release } from '../support/services.ts';

const NODE = 'sealed';

let rack: Rack;
let bundle: Bundle;
rackFor(
  test,
  'secrets',
  [{ name: NODE, firmware: 'http' }],
  async (made) => {
    rack = made;
    await rack.startServer();
    await rack.lab.powerOn(NODE);
    bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'service-')));
    await approve(rack, NODE);
  },
  { minutes: 60 },
);

async function until(holds: (one: ServiceStatus | undefined) => boolean): Promise<ServiceStatus> {
  for (const end = performance.now() + BOOT; ; await sleep(1000)) {
    const { id } = await rack.record(NODE);
    const { services = [] } = (await deliver(rack, id)).status;
    const one = services.find(({ name }) => name === 'fleet/vault');
    if (holds(one)) return one!;
    if (performance.now() > end) throw new Error(JSON.stringify(one));
  }
}

async function set(value: string): Promise<void> {
  const file = join(rack.paths.root, 'value');
  await writeFile(file, value);
  await rack.bootwave('service', 'secret', 'set', 'vault', 'db-password', '--file', file);
}

test.serial('a secret reaches the instance that waits for it, and another one takes its place', async (t) => {
  t.timeout(60 * 60_000);
  const vault = await release(
    rack,
    bundle,
    'vault:1',
    'cp /run/secrets/db-password /tmp/index.html; chmod 644 /tmp/index.html; httpd -f -p 8080 -h /tmp',
    { ports: [{ name: 'http', port: 8080 }], secrets: ['db-password'] },
  );
  await orderServices(rack, (await rack.record(NODE)).id, 11, [vault]);
  const waiting = await until((one) => one?.why.includes('SECRETS_UNSET') === true);
  t.is(waiting.state, 'waiting');
  await set('correct-horse');
  const { secrets: first } = await until((one) => one?.state === 'running');
  t.is(typeof first, 'number');
  const answers = async (value: string) => {
    for (const end = performance.now() + BOOT; ; await sleep(1000)) {
      const answer = await fetched(rack, NODE, 8080);
      if (answer === value) return true;
      if (performance.now() > end) return answer;
    }
  };
  t.is(await answers('correct-horse'), true);
  await set('battery-staple');
  await until((one) => one?.secrets !== first && one?.state === 'running');
  t.is(await answers('battery-staple'), true);
  for (const log of [await rack.lab.consoleLog(NODE), await bootServerLog(rack.lab)])
    t.notRegex(log, /correct-horse|battery-staple/);
});
