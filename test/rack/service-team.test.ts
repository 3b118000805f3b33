/**
 * A team's service on a node with a disk: the core team delegates, the team releases, a rollout brings it. Outside its prefix
 * nothing is published. Once the core team has taken it back nothing more comes from it, and what ran ends with the next restart.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../base/run.ts';
import { layout, tarOf } from '../image/services/oci.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { fetched, shownBy } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

const SHOP = `
command: [/bin/busybox, sh, -c, 'echo open > /tmp/index.html; exec /bin/busybox httpd -f -p 8080 -h /tmp']
limits: { memory: 33554432, cpu: 50, tasks: 16 }
ports: [{ name: http, port: 8080 }]
health: { check: { kind: http, port: 8080, path: / }, every: 2 }
`;

let rack: Rack;
rackFor(
  test,
  'service-team',
  async () => Rack.restore('service-team', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    await rack.heard(NODE);
  },
  { minutes: 60 },
);

/** With what a command is refused. */
async function refused(...args: string[]): Promise<string> {
  const program = join(import.meta.dirname, '../../bin/bootwave');
  const { code, stderr } = await run(program, ['--data', rack.paths.root, ...args], { timeout: 60_000 });
  return code === 0 ? 'done' : stderr;
}

const until = (what: () => Promise<string>, holds: RegExp) => shownBy(what, holds, 10 * 60_000);
const shown = async () => (await rack.bootwave('node', 'show', NODE)).stdout;

const at = (name: string) => join(rack.paths.root, name);

async function restart(): Promise<void> {
  const { observed } = await rack.record(NODE);
  await rack.lab.reset(NODE);
  await rack.until(NODE, (now) => now.state === 'healthy' && now.observed.bootId !== observed.bootId);
}

test.serial(
  'a team releases, and a rollout brings it to a node; nothing of it is published outside its prefix',
  async (t) => {
    const busybox = await readFile('/usr/bin/busybox');
    const oci = await layout(t, {
      layers: [tarOf([{ name: 'bin/busybox', content: busybox, mode: 0o755 }])],
    });
    await writeFile(at('shop.yaml'), SHOP);
    await rack.bootwave('team', 'key', at('web.key'));
    await rack.bootwave('team', 'add', 'web', '--prefix', 'services/web', '--key', at('web.key.pub'));
    const release = (service: string) => [
      ...['team', 'release', service, '--oci', oci, '--manifest', at('shop.yaml'), '--key', at('web.key')],
    ];
    await rack.bootwave(...release('web/shop:1'));
    const { rollout, setup } = await ended(
      rack,
      await startRollout(rack, { services: ['web/shop:1'], nodes: { all: true } }),
    );
    t.is(rollout.state, 'done', (await rack.bootwave('rollout', 'show', setup.id)).stdout);
    t.is(await fetched(rack, NODE, 8080), 'open\n');

    t.regex(await refused(...release('chrony:9')), /SERVICE_OWNER[\s\S]*write the owner/);
    // What its own key has signed for another's path, in its own metadata.
    const bundle = at('chrony.bundle');
    await rack.bootwave(
      'service',
      'pack',
      'chrony:9',
      '--oci',
      oci,
      '--manifest',
      at('shop.yaml'),
      '--out',
      bundle,
    );
    const signed = at('outside.json');
    await rack.bootwave(
      'team',
      'sign',
      `services/fleet/chrony_9=${bundle}`,
      '--key',
      at('web.key'),
      '--out',
      signed,
    );
    t.regex(
      await refused('team', 'publish', 'web', signed, '--bundle', bundle),
      /is not below services\/web.*\[TEAM_RELEASE\]/,
    );
    t.notRegex((await rack.bootwave('service', 'list')).stdout, /chrony/);
    t.is(await fetched(rack, NODE, 8080), 'open\n', 'what it has released goes on');
  },
);

test.serial(
  'taken back, it runs on until its node restarts, and says so; nobody gets it any more',
  async (t) => {
    t.regex((await rack.bootwave('team', 'remove', 'web')).stdout, /go on until they restart/);
    // Who still runs what is not released any more.
    t.regex((await rack.bootwave('service', 'list')).stdout, /web\/shop +none is released .* 1 /);
    t.regex((await rack.bootwave('service', 'versions', 'web/shop')).stdout, /^1 .* 1 +1 /m);
    t.is(await fetched(rack, NODE, 8080), 'open\n');
    t.regex(await refused('team', 'withdraw', 'web/shop:1', '--key', at('web.key')), /SERVICE_OWNER/);
    const spec = at('spec.json');
    await writeFile(spec, JSON.stringify({ nodes: { all: true }, services: ['web/shop:1'] }));
    t.regex(await refused('rollout', 'plan', spec), /web\/shop:1/);

    // The node has not heard of it yet, and starts what its disk has; then it hears.
    await restart();
    t.is(await until(() => fetched(rack, NODE, 8080), /open/), 'open\n');
    const heard =
      /service +web\/shop:1 running, .*it goes on, and does not start again: .*\[SERVICE_NOT_RELEASED\]/;
    t.regex(await until(shown, heard), heard);
    await restart();
    const ends = /service +web\/shop refused: .*\[SERVICE_NOT_RELEASED\]/;
    t.regex(await until(shown, ends), ends);
    t.is(await fetched(rack, NODE, 8080), '');

    const { rollout } = await ended(
      rack,
      await startRollout(rack, { services: ['web/shop:none'], nodes: { all: true } }),
    );
    t.is(rollout.state, 'done');
    t.notRegex(await until(shown, /uses +CPU(?![\s\S]*service +web)/), /service +web/);
  },
);
