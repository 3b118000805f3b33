import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../../../base/error.ts';
import { portKeys } from '../../../../../image/agent/root/services/net.ts';
import {
  planServices,
  REVIVE,
  type Running,
  type Seen,
  type Wanted,
} from '../../../../../image/agent/root/services/plan.ts';
import { readUnits, unitOf } from '../../../../../image/agent/root/services/unit-state.ts';
import { manifestOf } from './any-manifest.ts';

const shaOf = (name: string, version: string) =>
  Buffer.from(`${name} ${version}`).toString('hex').padEnd(64, '0').slice(0, 64);

function want(name: string, version = '1', more: object = {}): Wanted & { bundle: object } {
  return {
    service: { name, version, sha256: shaOf(name, version), size: 8192 },
    bundle: { rootHash: 'b'.repeat(64), dataBytes: 4096, manifest: manifestOf(more) },
  };
}
function runs(wanted: Wanted, more: Partial<Running> = {}): Running {
  const { name, version, sha256 } = wanted.service;
  return {
    ...{ name, version, sha256, slot: 5, restarts: 0, revivals: 0, begun: 0 },
    ports: portKeys(wanted.bundle?.manifest.ports ?? []),
    unit: { state: 'running', restarts: 0, since: 1_000_000, why: '' },
    ...more,
  };
}
const seen = (more: Partial<Seen> = {}): Seen => ({
  ...{ running: [], bundles: new Set(), healthy: new Set<string>(), architecture: 'x64', memory: 2 ** 32 },
  ...{ room: 2 ** 30, secrets: new Map() },
  ...{ uptime: 1_000_000, now: 5_000_000 },
  ...more,
});
const have = (...wanted: Wanted[]) => new Set(wanted.map(({ service }) => service.sha256));
const port = (number: number) => ({ ports: [{ name: 'p', port: number }] });

test('what is ordered starts, what is right is left alone, what is not named ends', (t) => {
  const [a, b, c] = [want('fleet/a'), want('fleet/b'), want('fleet/c')];
  const { steps, views } = planServices(
    [a, b],
    seen({ running: [runs(b), runs(c)], bundles: have(a, b, c) }),
  );
  t.deepEqual(steps, [
    { do: 'end', name: 'fleet/c' },
    { do: 'start', name: 'fleet/a' },
    { do: 'drop-bundle', sha256: c.service.sha256 },
  ]);
  t.deepEqual(
    views.map(({ name, state }) => [name, state]),
    [
      ['fleet/a', 'starting'],
      ['fleet/b', 'running'],
    ],
  );
  t.is(views[1]!.since, 4_001_000);
  // Where the agent reads what it sends and receives.
  t.deepEqual(
    views.map((one) => one.interface),
    [null, 'bws5'],
  );
});

test('the former version goes on until the new one can start', (t) => {
  const [old, young] = [want('fleet/a', '1'), want('fleet/a', '2')];
  const running = [runs(old)];
  const before = planServices([young], seen({ running, bundles: have(old) }));
  t.deepEqual(before.steps, []);
  t.is(before.views[0]!.state, 'fetching');
  t.is(before.views[0]!.runs, '1');
  const after = planServices([young], seen({ running, bundles: have(old, young) }));
  t.deepEqual(after.steps, [
    { do: 'end', name: 'fleet/a' },
    { do: 'start', name: 'fleet/a' },
    { do: 'drop-bundle', sha256: old.service.sha256 },
  ]);
  const refused = { ...young, bundle: undefined, refused: new BootwaveError({ code: 'X', what: 'no' }) };
  t.deepEqual(planServices([refused as Wanted], seen({ running, bundles: have(old) })).steps, []);
});

const refusals: [what: string, code: string, more: object, facts?: Partial<Seen>][] = [
  ['for another processor', 'SERVICE_ARCHITECTURE', { architecture: 'arm64' }],
  [
    'for more memory than there is',
    'SERVICE_MEMORY',
    { limits: { memory: 2 ** 26, cpu: 1, tasks: 1 } },
    { memory: 2 ** 25 },
  ],
  ["with the node's own port", 'SERVICE_PORT_RESERVED', port(22)],
  ['that depends on what is not ordered', 'SERVICE_DEPENDENCY_MISSING', { dependsOn: ['fleet/none'] }],
  ['that depends on itself', 'SERVICE_DEPENDENCY_CYCLE', { dependsOn: ['fleet/a'] }],
];
for (const [what, code, more, facts] of refusals)
  test(`refused, and nothing is done: a service ${what}`, (t) => {
    const a = want('fleet/a', '1', more);
    const other = want('fleet/b');
    const { steps, views } = planServices([a, other], seen({ bundles: have(a, other), ...facts }));
    t.deepEqual(
      steps.filter((step) => 'name' in step && step.name === 'fleet/a'),
      [],
    );
    t.is(views[0]!.state, 'refused');
    t.true(views[0]!.why.includes(`[${code}]`), views[0]!.why);
    if (code !== 'SERVICE_MEMORY') t.true(steps.some((step) => 'name' in step && step.name === 'fleet/b'));
  });

test('a bundle is fetched only where it fits twice', (t) => {
  const a = want('fleet/a');
  const ask = (room: number) => planServices([a], seen({ room })).views[0]!;
  t.is(ask(2 * 8192).state, 'fetching');
  t.regex(ask(2 * 8192 - 1).why, /16383 bytes are free.*\[SERVICE_NO_SPACE\]/);
  t.is(planServices([a], seen({ room: 0, bundles: have(a) })).steps.length, 1, 'it is here');
});

test('a port is the one that runs, or the first that is named', (t) => {
  const [a, b] = [want('fleet/a', '1', port(80)), want('fleet/b', '1', port(80))];
  const both = planServices([a, b], seen({ bundles: have(a, b) }));
  t.deepEqual(both.steps, [{ do: 'start', name: 'fleet/a' }]);
  t.regex(both.views[1]!.why, /fleet\/a's.*\[SERVICE_PORT_TAKEN\]/);
  const later = planServices([a, b], seen({ bundles: have(a, b), running: [runs(b)] }));
  t.deepEqual(later.steps, []);
  t.regex(later.views[0]!.why, /SERVICE_PORT_TAKEN/);
  // Its own former version is in nobody's way.
  const young = want('fleet/a', '2', port(80));
  const update = planServices([young], seen({ bundles: have(a, young), running: [runs(a)] }));
  t.true(update.steps.some((step) => step.do === 'start'));
});

test('what depends waits for health, a circle of two waits for nobody', (t) => {
  const [a, b] = [want('fleet/a'), want('fleet/b', '1', { dependsOn: ['fleet/a'] })];
  const bundles = have(a, b);
  const first = planServices([a, b], seen({ bundles }));
  t.deepEqual(first.steps, [{ do: 'start', name: 'fleet/a' }]);
  t.is(first.views[1]!.state, 'waiting');
  const then = planServices([a, b], seen({ bundles, running: [runs(a)], healthy: new Set(['fleet/a']) }));
  t.deepEqual(then.steps, [{ do: 'start', name: 'fleet/b' }]);
  const circle = [want('fleet/a', '1', { dependsOn: ['fleet/b'] }), b];
  const { steps, views } = planServices(circle, seen({ bundles }));
  t.deepEqual(steps, []);
  t.true(views.every(({ why }) => why.includes('SERVICE_DEPENDENCY_CYCLE')));
});

test('what systemd gave up is begun again, later each time', (t) => {
  const a = want('fleet/a');
  const failed = { state: 'failed' as const, restarts: 5, since: null, why: 'it ended with exit code 1' };
  const ask = (revivals: number, after: number) =>
    planServices(
      [a],
      seen({ bundles: have(a), running: [runs(a, { unit: failed, revivals, begun: 1_000_000 - after })] }),
    );
  t.deepEqual(ask(0, REVIVE.first - 1).steps, []);
  t.deepEqual(ask(0, REVIVE.first).steps, [{ do: 'revive', name: 'fleet/a' }]);
  t.deepEqual(ask(1, REVIVE.first).steps, []);
  t.deepEqual(ask(1, 2 * REVIVE.first).steps, [{ do: 'revive', name: 'fleet/a' }]);
  t.deepEqual(ask(99, REVIVE.most).steps, [{ do: 'revive', name: 'fleet/a' }]);
  t.is(ask(0, 0).views[0]!.state, 'failed');
  t.is(ask(0, 0).views[0]!.why, failed.why);
  const refused = new BootwaveError({ code: 'X', what: 'withdrawn' });
  const withdrawn = { ...a, bundle: undefined, refused } as Wanted;
  const health = { check: { kind: 'tcp', port: 80 }, every: 1, timeout: 1, failures: 1, grace: 0 } as const;
  const goesOn = planServices([withdrawn], seen({ bundles: have(a), running: [runs(a, { health })] }));
  t.deepEqual(goesOn.views[0]!.check?.health, health, 'its health is asked as before');
  t.like(goesOn.views[0], {
    ...{ state: 'running', runs: a.service.version },
    why: 'it goes on, and does not start again: withdrawn [X]',
  });
  t.deepEqual(goesOn.steps, []);
  const long = { bundles: have(a), running: [runs(a, { unit: failed })], uptime: 10_000_000 };
  t.deepEqual(planServices([withdrawn], seen(long)).steps, []);
  t.is(planServices([withdrawn], seen(long)).views[0]!.why, 'withdrawn [X]');
});

test('after its steps were taken a plan has none left; no port is ever given twice', (t) => {
  const name = fc.constantFrom('fleet/a', 'fleet/b', 'web/c', 'web/d');
  const service = fc
    .record({
      name,
      version: fc.constantFrom('1', '2'),
      port: fc.constantFrom(22, 80, 81, 40_000),
      dependsOn: fc.uniqueArray(name, { maxLength: 2 }),
    })
    .map((one) => want(one.name, one.version, { ...port(one.port), dependsOn: one.dependsOn }));
  const orders = fc.uniqueArray(service, { selector: (one) => one.service.name, maxLength: 4 });
  fc.assert(
    fc.property(orders, orders, (first, second) => {
      let running: Running[] = [];
      const all = have(...first, ...second);
      const step = (order: Wanted[], healthy: ReadonlySet<string>) => {
        const { steps } = planServices(order, seen({ running, bundles: all, healthy }));
        for (const one of steps) {
          if (one.do === 'end') running = running.filter((each) => each.name !== one.name);
          if (one.do === 'start') running.push(runs(order.find((w) => w.service.name === one.name)!));
        }
        const ports = running.flatMap((one) => one.ports);
        t.is(new Set(ports).size, ports.length);
        t.false(ports.some((one) => one === 'tcp/22' || one === 'tcp/40000'));
        t.is(new Set(running.map((one) => one.name)).size, running.length);
        return steps.filter((one) => one.do !== 'drop-bundle');
      };
      for (const order of [first, second]) {
        for (let i = 0; i < 6; i += 1) step(order, new Set(running.map((one) => one.name)));
        t.deepEqual(step(order, new Set(running.map((one) => one.name))), []);
        const named = new Set(order.map((one) => one.service.name));
        t.true(running.every((one) => named.has(one.name)));
      }
    }),
    { numRuns: 200 },
  );
});

test('what systemd says of units is read, and what it does not know is not there', (t) => {
  const units = readUnits(
    [
      'Id=a.service\nActiveState=active\nNRestarts=3\nResult=success\nExecMainCode=0\nExecMainStatus=0\nStateChangeTimestampMonotonic=12',
      'Id=b.service\nActiveState=activating\nNRestarts=1\nResult=exit-code\nExecMainCode=1\nExecMainStatus=7',
      'Id=c.service\nActiveState=failed\nNRestarts=5\nResult=oom-kill\nExecMainCode=2\nExecMainStatus=9',
      '',
    ].join('\n\n'),
  );
  t.deepEqual(unitOf(units, 'a.service'), { state: 'running', restarts: 3, since: 12, why: '' });
  t.is(unitOf(units, 'b.service').why, 'it ended with exit code 7');
  t.is(unitOf(units, 'c.service').why, 'it took more memory than it may');
  t.is(unitOf(units, 'd.service').state, 'failed');
  fc.assert(fc.property(fc.string(), (text) => t.notThrows(() => readUnits(text))));
});
