/** `slice logs` and `service logs` through the door for people elsewhere; the nodes behind the links are played. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { refusal } from '../../../../base/error.ts';
import type { Written } from '../../../../orchestrator/operations/log/gather.ts';
import type { House } from '../../../../orchestrator/operations/operation.ts';
import type { ShownSlice } from '../../../../orchestrator/operations/slice/acts.ts';
import type { Logs, LogsArgs } from '../../../../protocol/link/logs.ts';
import { elsewhere, SHARE, wish } from '../elsewhere.ts';

const logsOf = (...lines: [at: number, text: string][]): Logs => ({
  lines: lines.map(([at, text]) => ({ at, text, severity: 6, byNode: false })),
  more: false,
});

/** As a server has them: the same ones whenever it is asked. */
function linksTo(request: unknown): House['links'] {
  const pool = { request: request as never };
  return () => pool;
}

/** Links to nodes that answer as they are told. */
function nodes() {
  const asked: { node: string; args: LogsArgs }[] = [];
  const says = new Map<string, (args: LogsArgs) => Logs>();
  const request = async (node: string, op: string, args: LogsArgs) => {
    if (op !== 'logs') throw new Error(op);
    asked.push({ node, args });
    const answer = says.get(node);
    if (answer === undefined) throw refusal('LINK_UNREACHABLE', 'nobody is there');
    return { result: answer(args) };
  };
  return { asked, says, links: linksTo(request) };
}

test('an owner reads what their services wrote, on all nodes of the slice in one answer, and who did not answer', async (t) => {
  const { asked, says, links } = nodes();
  const { as, member, release, fleet } = await elsewhere(t, links);
  const ids = [await member(1, []), await member(2, []), await member(3, [], 'par')];
  for (const service of ['shop:1', 'db:1']) await release(service);
  const core = await as({ name: 'ann' });
  await core.say('slice create', wish('probe', 3));
  await core.say('slice create', wish('other', 1, { share: { ...SHARE, ports: [] } }));
  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  const logs = (input: object) => owner.say<Written>('slice logs', { name: 'probe', ...input });
  const names = new Map((await fleet.nodes.getMany(ids)).map(({ id, name }) => [id, name]));
  const name = (n: number) => names.get(ids[n]!)!;

  // Nothing is to run: nobody is asked.
  t.deepEqual((await logs({})).lines, []);
  t.is(asked.length, 0);
  await owner.say('slice run', { name: 'probe', services: ['shop:1', 'db:1'] });
  says.set(ids[0]!, ({ name: of }) => logsOf([30, `${of} later`], [40, `${of} last`]));
  says.set(ids[1]!, ({ name: of }) => ({ ...logsOf([10, `${of} first`]), more: of === 'fleet/shop@probe' }));
  const all = await logs({ lines: 7 });
  t.deepEqual(
    all.lines.map(({ text, node, service }) => [text, node, service]),
    [
      ['fleet/db@probe first', name(1), 'db@probe'],
      ['fleet/shop@probe first', name(1), 'shop@probe'],
      ['fleet/db@probe later', name(0), 'db@probe'],
      ['fleet/shop@probe later', name(0), 'shop@probe'],
      ['fleet/db@probe last', name(0), 'db@probe'],
      ['fleet/shop@probe last', name(0), 'shop@probe'],
    ],
  );
  t.deepEqual(all.silent, [{ node: name(2), code: 'LINK_UNREACHABLE', why: 'nobody is there' }]);
  t.deepEqual(all.more, [{ node: name(1), service: 'shop@probe' }]);
  t.deepEqual(new Set(all.asked), new Set(names.values()));
  t.true(asked.every(({ args }) => args.name.endsWith('@probe') && args.lines === 7 && args.age === null));

  // A node that says more than it was asked takes no place of the others.
  says.set(ids[0]!, () =>
    logsOf(...Array.from({ length: 50 }, (_, i): [number, string] => [8e14 + i, 'me'])),
  );
  const few = await logs({ service: 'shop', lines: 2 });
  t.deepEqual(
    few.lines.map(({ text }) => text),
    ['fleet/shop@probe first', 'me', 'me'],
  );

  asked.length = 0;
  const one = await logs({ node: name(1), service: 'shop', since: Date.now() - 60_000 });
  t.deepEqual(
    asked.map(({ node, args }) => [node, args.name]),
    [[ids[1], 'fleet/shop@probe']],
  );
  const age = asked[0]?.args.age ?? 0;
  t.true(age >= 60_000 && age < 600_000);
  t.is(one.lines.length, 1);
});

test('another slice, its nodes and its services are refused as if they were not there', async (t) => {
  const { asked, links } = nodes();
  const { as, member, fleet } = await elsewhere(t, links);
  const ids = [await member(1, []), await member(2, [])];
  const core = await as({ name: 'ann' });
  await core.say('slice create', wish('probe', 1));
  await core.say('slice create', wish('other', 1));
  const { nodes: theirs } = await core.say<ShownSlice>('slice show', { name: 'other' });
  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  const refused = async (input: object) => {
    const error = await t.throwsAsync(owner.say('slice logs', { name: 'probe', ...input }));
    return error as Error & { code: string };
  };
  const [mine] = (await core.say<ShownSlice>('slice show', { name: 'probe' })).nodes;
  const [foreign] = theirs;
  t.true(foreign !== undefined && mine !== undefined && foreign.id !== mine.id && ids.includes(foreign.id));
  const record = await fleet.nodes.get(foreign!.id);
  for (const node of [foreign!.name, foreign!.id, record!.inventory.serial]) {
    const [is, not] = [await refused({ node }), await refused({ node: 'nowhere' })];
    t.deepEqual([is.code, is.message.replace(node, '?')], [not.code, not.message.replace('nowhere', '?')]);
    t.is(is.code, 'SLICE_NODE');
  }
  const [is, not] = [await refused({ name: 'other' }), await refused({ name: 'absent' })];
  t.deepEqual(
    [is.code, is.message.replace('other', '?')],
    ['OPERATOR_SLICE', not.message.replace('absent', '?')],
  );
  for (const service of ['shop@other', 'shop:1', '../x', 'a/b/c', 'Shop', 'x'.repeat(90)])
    t.is((await refused({ service })).code, 'SERVICE_NAME', service);
  for (const input of [{ lines: 0 }, { lines: 1001 }, { nodes: ['x'] }, { since: -1 }])
    t.is((await refused(input)).code, 'INPUT_INVALID');
  await t.throwsAsync(owner.say('service logs', { service: 'shop@other' }), { code: 'OPERATOR_ROLE' });
  for (const role of ['viewer', 'site-admin'] as const) {
    const person = await as({ name: role, role, sites: role === 'viewer' ? [] : ['default'] });
    await t.throwsAsync(person.say('slice logs', { name: 'probe' }), { code: 'OPERATOR_ROLE' });
    await t.throwsAsync(person.say('service logs', { service: 'shop' }), { code: 'OPERATOR_ROLE' });
  }
  t.is(asked.length, 0, 'no node heard of any of it');
  await core.say('slice delete', { name: 'probe' });
  t.is((await refused({})).code, 'SLICE_ENDED');
});

test('the core team reads what any instance wrote, where orders name it or where they say', async (t) => {
  const { asked, says, links } = nodes();
  const { as, member } = await elsewhere(t, links);
  const ids = [await member(1, ['shop:1']), await member(2, ['shop@probe:1']), await member(3, [])];
  for (const id of ids) says.set(id, () => logsOf([1, id]));
  const { say } = await as({ name: 'ann' });
  const at = async (input: object) => {
    asked.length = 0;
    const { lines } = await say<Written>('service logs', input);
    return [lines.map(({ text }) => text), [...new Set(asked.map(({ args }) => args.name))]];
  };
  t.deepEqual(await at({ service: 'shop' }), [[ids[0]], ['fleet/shop']]);
  t.deepEqual(await at({ service: 'shop@probe' }), [[ids[1]], ['fleet/shop@probe']]);
  t.deepEqual(await at({ service: 'shop', nodes: [ids[2]] }), [[ids[2]], ['fleet/shop']]);
  await t.throwsAsync(say('service logs', { service: 'db' }), { code: 'SERVICE_NOWHERE' });
  await t.throwsAsync(say('service logs', { service: 'shop:1' }), { code: 'SERVICE_NOWHERE' });
});

test('one person reads one answer at a time, however many connections they have; another one reads meanwhile', async (t) => {
  const gate = Promise.withResolvers<void>();
  let under = 0;
  const request = async () => {
    under += 1;
    await gate.promise;
    return { result: logsOf([1, 'x']) };
  };
  const { as, member } = await elsewhere(t, linksTo(request));
  const node = await member(1, ['shop:1']);
  const [ann, bob] = [await as({ name: 'ann' }), await as({ name: 'bob' })];
  const input = { service: 'shop', nodes: [node] };
  const first = ann.say<Written>('service logs', input);
  while (under === 0) await sleep(5);
  await t.throwsAsync(ann.say('service logs', input), { code: 'LOGS_BUSY' });
  const other = bob.say<Written>('service logs', input);
  while (under === 1) await sleep(5);
  gate.resolve();
  t.is((await first).lines.length, 1);
  t.is((await other).lines.length, 1);
  t.is((await ann.say<Written>('service logs', input)).lines.length, 1);
});
