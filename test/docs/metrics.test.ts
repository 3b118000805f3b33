/** docs/metrics.md, followed by somebody who types what it says, on simulated nodes in a network of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { parse as parseYaml } from 'yaml';
import { mustRun, run } from '../../base/run.ts';
import { initRehearsal } from '../../lab/sim/rehearsal.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { temporaryData } from '../orchestrator/fleet/support.ts';
import { parse } from '../orchestrator/metrics/parse.ts';
import { ordered } from '../orchestrator/usage/orders.ts';
import { commandsOf, pageAt, REPOSITORY } from './pages.ts';

const PROGRAM = join(REPOSITORY, 'bin/bootwave');
const NODES = 6;

/** A network in which ports are nobody else's. @returns words before a command that runs in it */
async function network(t: ExecutionContext): Promise<string[]> {
  const name = `bwdocs${process.pid}`;
  await mustRun('ip', ['netns', 'add', name]);
  t.teardown(() => run('ip', ['netns', 'delete', name]));
  await mustRun('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  return ['ip', 'netns', 'exec', name];
}

test('top, metrics of all and of one, and what Prometheus is told where the page sends it', async (t) => {
  t.timeout(10 * 60_000);
  const page = await pageAt('docs/metrics.md');
  const paths = await temporaryData(t);
  await initRehearsal(paths);
  const inside = await network(t);
  const env = { ...process.env, BOOTWAVE_DATA: paths.root, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'error' };
  const started = async (...args: string[]) => {
    const [program = '', ...words] = [...inside, PROGRAM, ...args, '--json'];
    const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    t.teardown(async () => {
      if (child.exitCode === null) child.kill('SIGINT');
      await ended;
    });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    t.truthy(JSON.parse(line).ready, line);
  };
  const commands = commandsOf(page).flatMap((line) => /^bootwave (.*)$/.exec(line)?.[1] ?? []);
  // As the page has the service start it; this network has no such interface.
  const [, up = ''] = /^ExecStart=\S+ (up .*)$/m.exec(page.text) ?? [];
  await started(...up.replace(/ --(?:interface|range) \S+/g, '').split(' '));
  await started('lab', 'sim', '--nodes', String(NODES), '--site', 'munich');
  const bootwave = async (line: string) => {
    const [program = '', ...words] = [...inside, PROGRAM, ...line.split(' ')];
    return (await mustRun(program, words, { env })).stdout;
  };
  const names = await withFleet(
    paths,
    async (fleet) => {
      const records = await fleet.nodes.getMany(await fleet.nodes.ids());
      await ordered(fleet, records[0]!.id, ['fleet/chrony']);
      return records.map(({ name }) => name);
    },
    { url: '' },
  );
  t.is(names.length, NODES);
  for (const last = performance.now() + 120_000; ; await sleep(500)) {
    const { told } = JSON.parse(await bootwave('node top --json'));
    if (told === NODES) break;
    if (performance.now() > last) throw new Error(`after two minutes ${told} nodes have said what they use`);
  }

  const said = new Map<string, string>();
  for (const line of commands) said.set(line, await bootwave(line.replace('web2', names[0]!)));
  t.is(said.get('node top')!.trim().split('\n').length, 1 + NODES);
  t.regex(said.get('service top')!, /^chrony +0 of 1 /m);
  t.regex(said.get('service top chrony')!, /absent/);
  t.regex(said.get('node show web2')!, /uses +CPU/);
  // Over the node's own link, which knows of no such instance.
  t.regex(await bootwave('service logs chrony'), /^nothing was written there \(1 of 1 nodes say so\)$/m);
  const nodesIn = async (text: string) =>
    (await parse(text))
      .filter(({ name }) => name === 'bootwave_node_processors')
      .map(({ labels }) => labels.node);
  t.deepEqual(await nodesIn(said.get('node metrics web2')!), [names[0]]);
  t.is((await nodesIn(said.get('metrics')!)).length, NODES);

  // As Prometheus reads its configuration (metrics_path is /metrics where it is not said).
  const { scrape_configs: jobs } = parseYaml(page.blocks.find(({ language }) => language === 'yaml')!.text);
  const [target] = jobs[0].static_configs[0].targets;
  const curl = (path: string) =>
    mustRun(inside[0]!, [...inside.slice(1), 'curl', '--silent', '--fail', `http://${target}${path}`]);
  t.deepEqual((await nodesIn((await curl('/metrics')).stdout)).toSorted(), names.toSorted());
  t.is((await nodesIn((await curl('/metrics?site=munich')).stdout)).length, NODES);
  t.is((await nodesIn((await curl('/metrics?site=default')).stdout)).length, 0);

  // Every metric that it is told stands on the page, by its name or its row.
  const told = new Set((await parse(said.get('metrics')!)).map(({ name }) => name));
  for (const name of told) {
    const [, row, word] = /^(bootwave_(?:node|instance)_)(.*)$/.exec(name) ?? [];
    const isThere =
      page.inline.includes(name) ||
      (row !== undefined && page.inline.includes(`${row}…`) && page.inline.includes(word ?? ''));
    t.true(isThere, name);
  }
});
