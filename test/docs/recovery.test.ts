/** docs/recovery.md, docs/breaker.md and docs/profiles.md, followed at three in the morning by two people who type what they say. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { decideIncident } from '../../orchestrator/recovery/incidents.ts';
import { commandsOn } from '../cli/in-process.ts';
import { servicesFor } from '../orchestrator/services/world.ts';
import { commandsOf, pageAt, words } from './pages.ts';

type Said = { line: string; code: string; out: string };

/** Three members at the site that the pages name, and the two people who have certificates there. */
async function night(t: ExecutionContext) {
  const world = await servicesFor(t);
  const { fleet, member, paths } = world;
  await fleet.sites.add('munich', {}, { actor: 'operator:test', at: 1 });
  const nodes: Record<string, string> = {};
  for (const [i, name] of ['web1', 'web2', 'web3'].entries())
    nodes[name] = await member(i + 1, ['shop:1.4'], 'munich');
  const bootwave = commandsOn(t, paths.root);
  for (const name of ['ann', 'bob'])
    await bootwave(
      'root',
      'operator',
      'add',
      name,
      '--role',
      'core',
      '--out',
      join(paths.root, `${name}.pem`),
    );
  let request = '';
  let plan = '';
  const type = async (line: string): Promise<Said> => {
    const args = words(line.replace(/^bootwave /, ''))
      .map((word) => nodes[word] ?? word)
      .map((word) => (/^(ann|bob)\.pem$|\.json$|\.tar$|\.pub$/.test(word) ? join(paths.root, word) : word))
      .map((word) => (/^[0-9a-f]{32}$/.test(word) ? request : /^[0-9a-f]{8}$/.test(word) ? plan : word));
    if (line.includes('request approve')) args.push('--yes');
    const { code, out, message } = await bootwave('root', ...args);
    request = /request ([0-9a-f]{32}) waits/.exec(out)?.[1] ?? request;
    plan = /^plan ([0-9a-f]{8}) /m.exec(out)?.[1] ?? plan;
    return { line, code, out: `${out}${message}` };
  };
  /** Each command of a page in its order, after what has to be so before it. */
  const follow = async (path: string, before: Record<string, () => Promise<unknown>>) => {
    const said: Said[] = [];
    const unused = new Set(Object.keys(before));
    for (const line of commandsOf(await pageAt(path))) {
      for (const [start, make] of Object.entries(before))
        if (line.startsWith(start)) {
          unused.delete(start);
          await make();
        }
      said.push(await type(line));
    }
    t.deepEqual([...unused], [], `${path} has none of these commands any more`);
    t.deepEqual(
      said.filter(({ code }) => code !== ''),
      [],
    );
    return (start: string) => said.find(({ line }) => line.startsWith(start))?.out ?? t.fail(start);
  };
  const person = (name: string) =>
    decideIncident(fleet, nodes[name]!, (known) => ({ ...known!, step: 'person', reason: 'it hangs' }), {
      ...{ actor: 'recovery', at: Date.now() },
    });
  return { ...world, nodes, type, follow, person };
}

test.serial('a node that hangs and one that cannot be trusted', async (t) => {
  const { type, follow, person, paths } = await night(t);
  const { publicKey } = generateKeyPairSync('ed25519');
  await writeFile(join(paths.root, 'ids.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  const after = await follow('docs/recovery.md', {
    'bootwave incident show web1': () => type("bootwave node recover web1 --reason 'it hangs'"),
    'bootwave node recover web1': () => type("bootwave incident end web1 --reason 'the page begins anew'"),
    'bootwave incident retry web1': () => person('web1'),
    'bootwave incident rescue web1': () => type("bootwave node recover web1 --reason 'it hangs'"),
  });
  t.regex(after('bootwave incident show'), /WAITS: no server of site munich runs/);
  t.regex(after('bootwave --as bob.pem request approve'), /site set is done, as operator:ann asked/);
  t.regex(after('bootwave node fence'), /is fenced, incident 1; its BMC starts it from the network/);
  t.regex(after('bootwave incident end'), /broken, ended/);
  t.regex(after('bootwave incident rescue'), /broken, person \(in rescue: /);
  t.regex(after('bootwave incident access'), /can be looked at until 20/);
  t.regex(after('bootwave incident collect'), /\.tar, \d+ bytes, SHA-256 [0-9a-f]{64}/);
  t.regex(after('bootwave incident evidence'), /whole/);
  t.regex(after('bootwave incident leave'), /nobody looks at .* any more/);
  t.regex(after('bootwave webhook list'), /^ids +serious +munich +broken, suspected +operator:root/m);
  const held = await type("bootwave incident end web2 --reason 'in a hurry'");
  t.is(held.code, 'INCIDENT_HELD');
  t.regex(held.out, /bootwave incident show/);
});

test.serial('the automation let go on, what services need, a rack taken back, a drill', async (t) => {
  const { type, follow, fleet, member } = await night(t);
  await fleet.sites.set('munich', { recovery: 'wipe' }, { actor: 'operator:test', at: 1 });
  const after = await follow('docs/breaker.md', {
    // Of three nodes that are all needed none can be spared.
    'bootwave drill recovery': () => member(4, ['shop:1.4'], 'munich'),
    'bootwave recovery plan --site': () => type('bootwave node set web1 --rack r7'),
  });
  t.regex(after('bootwave recovery plan --site'), /^1 nodes are fenced.*\n.*\(rack r7\)$/m);
  t.regex(after('bootwave recovery plans'), /the crate was open when it came/);
  t.regex(after('bootwave drill recovery'), /drill [0-9a-f]{8} of .* begins/);
  t.regex(after('bootwave drill schedules'), /^recovery at site munich: every 30 days, 8 to 15 h UTC/m);
  t.regex(after('bootwave service capacity list'), /^shop +all +3 +/m);
});

test.serial('what a model has is learnt, shown and written', async (t) => {
  const { follow, fleet, nodes, paths } = await night(t);
  const { manufacturer, product } = (await fleet.nodes.get(nodes.web1!))!.inventory;
  const [{ text = '' } = {}] = (await pageAt('docs/profiles.md')).blocks.filter(
    ({ language }) => language === 'json',
  );
  await writeFile(join(paths.root, 'r650.json'), text);
  nodes['Dell Inc. PowerEdge R650'] = `${manufacturer} ${product}`;
  const after = await follow('docs/profiles.md', {});
  t.regex(after('bootwave profile show'), /"expects":\{"cpu"/);
  t.regex(after('bootwave profile set'), /it has \d of 2 disks of 372\.5 GiB/);
});
