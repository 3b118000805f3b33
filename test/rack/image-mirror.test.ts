/**
 * A node that runs image-mirror, and its neighbour: the fleet's own block as it is published, two nodes with disks, a bundle and
 * an image. The kernel counts what leaves the boot server, the node counts what its mirror sends.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { mustRun } from '../../base/run.ts';
import { readManifest } from '../../image/build/manifest.ts';
import { publish } from '../../lab/bad-image.ts';
import { MIRROR } from '../../protocol/service/mirror.ts';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { deliver } from '../support/deliver.ts';
import { INSTALLED, installedRack } from '../support/installed.ts';
import { BOOT, Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { release } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';

const [SERVING, ASKING] = ['canary', 'second'] as const;
const NEXT = '3.0.0';
/** Bytes. */
const NOISE = 8_000_000;

let rack: Rack;
rackFor(
  test,
  'image-mirror',
  async () => Rack.restore('image-mirror', await snapshot(INSTALLED, installedRack)),
  async (made) => {
    rack = made;
    // More emulated machines than cores only take turns.
    await rack.lab.powerOff('third');
    for (const node of [SERVING, ASKING]) await rack.heard(node);
    await counted('add table ip seen');
    await counted('add chain ip seen out { type filter hook output priority 0; }');
    const { observed } = await rack.record(ASKING);
    await counted(`add rule ip seen out ip daddr ${observed.address} counter`);
  },
  { minutes: 60 },
);

/** Bytes that have left the boot server for the node that asks, headers and the orchestrator's questions with them. */
async function fromServer(): Promise<number> {
  return Number(/bytes (\d+)/.exec(await counted('list chain ip seen out'))?.[1]);
}
async function counted(command: string): Promise<string> {
  const { code, stdout, stderr } = await rack.lab.inNamespace('nft', command.split(' '));
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

const heardOf = async () => deliver(rack, (await rack.record(SERVING)).id);

/** Bytes that the mirror has sent since it began. */
async function fromMirror(): Promise<number> {
  const { usage } = await heardOf();
  return usage.services.find(({ name }) => name === MIRROR.service)?.network?.sent ?? 0;
}

async function done(t: ExecutionContext, node: string, spec: object): Promise<void> {
  const names = { nodes: { names: [node] } };
  const { rollout, setup } = await ended(rack, await startRollout(rack, { ...names, ...spec }));
  t.is(rollout.state, 'done', (await rack.bootwave('rollout', 'show', setup.id)).stdout);
}

/** The neighbour serves it, well. */
async function served(sha256: string): Promise<void> {
  for (const end = performance.now() + BOOT; ; await sleep(1000)) {
    const { status } = await heardOf();
    const mirror = status.services?.find(({ name }) => name === MIRROR.service);
    if (mirror?.health === 'healthy' && status.shared?.includes(sha256)) return;
    if (performance.now() > end) throw new Error(JSON.stringify({ mirror, shared: status.shared }));
  }
}

/** What the node that asks takes, from whom. */
async function taken(t: ExecutionContext, sha256: string, size: number, spec: object): Promise<void> {
  await served(sha256);
  const [server, mirror] = [await fromServer(), await fromMirror()];
  await done(t, ASKING, spec);
  const [byServer, byMirror] = [(await fromServer()) - server, (await fromMirror()) - mirror];
  t.log(`${size} bytes: the mirror sent ${byMirror}, the boot server ${byServer}`);
  t.true(byMirror >= size, 'all of it came from the neighbour');
  t.true(byServer < size / 4, 'and none from the boot server');
}

test.serial('a bundle and an image come from the neighbour, and the boot server gives neither', async (t) => {
  t.timeout(60 * 60_000);
  const program = join(import.meta.dirname, '../../bin/bootwave');
  const build = ['--data', rack.paths.root, 'service', 'build', 'image-mirror', '--json'];
  const { stdout } = await mustRun(program, build, { timeout: 15 * 60_000 });
  const { service } = JSON.parse(stdout) as { service: string };
  await done(t, SERVING, { services: [service] });

  const work = await mkdtemp(join(rack.paths.root, 'services-'));
  const noise = join(work, 'noise');
  await writeFile(noise, randomFillSync(Buffer.alloc(NOISE)));
  const bundle = await makeBundle(work, { noise });
  const { sha256, size } = await release(rack, bundle, 'large:1', 'sleep 100000');
  await done(t, SERVING, { services: ['large:1'] });
  await taken(t, sha256, size, { services: ['large:1'] });

  await publish(rack.paths, NEXT, null);
  const image = await readManifest(rack.paths.images, NEXT);
  await done(t, SERVING, { image: NEXT });
  await taken(t, image.sha256, image.size, { image: NEXT });
});
