/** The server's machine is lost with its disk. From a backup another one takes its place, and a real node comes back to it. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { stopBootServer } from '../../lab/boot-server.ts';
import { fleetOf } from '../../orchestrator/backup/manifest.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';

const NODE = 'left-alone';
const by = { actor: 'test', at: Date.now() };

let rack: Rack;
rackFor(
  test,
  'backup',
  [{ name: NODE, firmware: 'http' }],
  async (made) => {
    rack = made;
    await rack.startServer();
  },
  { minutes: 60 },
);

test.serial(
  'a node that was approved before is heard by the restored server, in the same boot, and boots from it',
  async (t) => {
    t.timeout(60 * 60_000);
    const home = await mkdtemp(join(tmpdir(), 'bw-'));
    t.teardown(() => rm(home, { recursive: true, force: true }));
    await rack.lab.powerOn(NODE);
    const { id, words } = await rack.sameWords(NODE);
    await rack.fleet((fleet) => fleet.approve(id, words, by, 'first'));
    const before = await rack.until(NODE, ({ state }) => state === 'healthy');
    const [key, pub, file] = ['key', 'pub', 'backup.age'].map((name) => join(home, name));
    await mustRun('age-keygen', ['-o', key!]);
    await mustRun('bash', ['-c', `age-keygen -y ${key} > ${pub}`]);
    await rack.bootwave('backup', '--to', file!, '--recipients', pub!);
    const number = await fleetOf(rack.paths.keys);
    // After the backup it gets another certificate, of which the backup knows nothing.
    await stopBootServer(rack.lab);
    await rack.startServer();

    await stopBootServer(rack.lab, 'SIGKILL');
    process.kill(Number(await readFile(join(rack.paths.redis, 'redis.pid'), 'utf8')), 'SIGKILL');
    for (const name of await readdir(rack.paths.root))
      await rm(join(rack.paths.root, name), { recursive: true, force: true });
    await rack.bootwave('restore', file!, '--key', key!, '--fleet', number);
    const restoredAt = Date.now();
    await rack.startServer();
    const after = await rack.until(NODE, ({ state }) => state === 'healthy');
    await rack.heard(NODE, restoredAt);
    t.is(after.observed.bootId, before.observed.bootId, 'nobody was there, and it did not restart');

    await rack.lab.cycle(NODE);
    const again = await rack.until(
      NODE,
      ({ state, observed }) => state === 'healthy' && observed.bootId !== before.observed.bootId,
    );
    t.is(again.id, id, 'from the network, with the restored images, recognised by its TPM');
    const audit = await rack.fleet((fleet) => fleet.audit.read({ node: id, last: 300 }));
    t.is(audit.filter(({ action }) => action === 'approve').length, 1, 'and approved once');
  },
);
