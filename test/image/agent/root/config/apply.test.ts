/** Root's operations against folders in place of /proc/sys and /run. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { ConfigPlaces } from '../../../../../image/agent/root/config/apply.ts';
import { CONFIG_OPERATIONS } from '../../../../../image/agent/root/config/operations.ts';
import { DROP_INS, planConfig } from '../../../../../image/agent/root/config/plan.ts';
import { configRequest } from '../../../../../protocol/agent/config.ts';
import { digestOf, makeDocument, readDocument } from '../../../../../protocol/configuration/document.ts';

const KERNEL = {
  'vm.swappiness': '60',
  'net.core.somaxconn': '4096',
  // As the kernel prints it.
  'net.ipv4.tcp_rmem': '4096\t131072\t6291456',
};

type Machine = ConfigPlaces & {
  restarted: string[];
  /** Units that do not come up again, as often as they stand here. */
  broken: string[];
  sysctl(key: string): Promise<string>;
  file(name: keyof typeof DROP_INS): Promise<string | null>;
  apply(document: Buffer | null): Promise<{ changed: number }>;
};

async function machine(t: ExecutionContext): Promise<Machine> {
  const root = await mkdtemp(join(tmpdir(), 'bootwave-config-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const sysctls = join(root, 'sys');
  const run = join(root, 'run');
  const at = (key: string) => join(sysctls, key.replaceAll('.', '/'));
  for (const [key, value] of Object.entries(KERNEL)) {
    await mkdir(dirname(at(key)), { recursive: true });
    await writeFile(at(key), `${value}\n`);
  }
  const restarted: string[] = [];
  const broken: string[] = [];
  const places: Machine = {
    sysctls,
    run,
    restarted,
    broken,
    async restart(unit) {
      restarted.push(unit);
      const index = broken.indexOf(unit);
      if (index < 0) return;
      broken.splice(index, 1);
      throw new Error(`${unit} does not come up`);
    },
    sysctl: async (key) => (await readFile(at(key), 'utf8')).trim(),
    file: (name) => readFile(join(run, DROP_INS[name].path), 'utf8').catch(() => null),
    apply: (document) =>
      CONFIG_OPERATIONS['config-apply'](
        { operation: 'config-apply', document: document?.toString('base64') ?? null },
        places,
      ),
  };
  return places;
}

const status = (places: ConfigPlaces) =>
  CONFIG_OPERATIONS['config-status']({ operation: 'config-status' }, places);

const FULL = makeDocument(
  {
    sysctls: { 'vm.swappiness': 10, 'net.ipv4.tcp_rmem': [8192, 262144, 16777216] },
    ntp: ['ntp.example.org', '10.0.0.5'],
    dns: ['10.0.0.53', '2001:db8::53'],
    log: { level: 'info', megabytes: 64, target: { protocol: 'tcp', host: '10.0.0.9', port: 514 } },
    labels: { tier: 'edge', pool: 'b' },
  },
  '1.0',
);

test('a configuration comes into force as a whole, once, and goes again without a trace', async (t) => {
  const node = await machine(t);
  t.deepEqual(await status(node), { inForce: null, torn: false });
  t.deepEqual(await node.apply(FULL), { changed: 7 });
  t.is(await node.sysctl('vm.swappiness'), '10');
  t.is(await node.sysctl('net.ipv4.tcp_rmem'), '8192 262144 16777216');
  t.is(await node.file('ntp'), '[Time]\nNTP=ntp.example.org 10.0.0.5\n');
  t.is(await node.file('dns'), '[Resolve]\nDNS=10.0.0.53 2001:db8::53\nDomains=~.\n');
  t.is(await node.file('log'), '[Journal]\nMaxLevelStore=info\nRuntimeMaxUse=64M\n');
  t.is(await node.file('logTarget'), 'tcp 10.0.0.9 514\n');
  t.is(await node.file('labels'), 'pool=b\ntier=edge\n');
  t.is((await stat(join(node.run, DROP_INS.dns.path))).mode & 0o777, 0o644);
  t.deepEqual(node.restarted.splice(0).sort(), [
    'bootwave-log.service',
    'systemd-journald.service',
    'systemd-resolved.service',
    'systemd-timesyncd.service',
  ]);
  t.deepEqual((await status(node)).inForce, { digest: digestOf(FULL), document: FULL.toString('base64') });

  t.deepEqual(await node.apply(FULL), { changed: 0 }, 'what is right is left alone');
  t.deepEqual(node.restarted, []);

  // One field changes: nobody else's daemon restarts, and the parameter that is gone has its value of the boot again.
  const { format: _f, version: _v, ...rest } = readDocument(FULL);
  await node.apply(
    makeDocument({ ...rest, dns: ['10.0.0.54'], sysctls: { 'net.core.somaxconn': 8192 } }, '1.1'),
  );
  t.deepEqual(node.restarted.splice(0), ['systemd-resolved.service']);
  t.is(await node.sysctl('vm.swappiness'), '60');
  t.is(await node.sysctl('net.core.somaxconn'), '8192');

  await node.apply(null);
  for (const [key, value] of Object.entries(KERNEL)) t.is(await node.sysctl(key), value, key);
  for (const name of ['ntp', 'dns', 'log', 'logTarget', 'labels'] as const)
    t.is(await node.file(name), null, name);
  t.deepEqual(await status(node), { inForce: null, torn: false });
});

test('one that cannot be applied leaves the one before it in force', async (t) => {
  const node = await machine(t);
  const good = makeDocument({ sysctls: { 'vm.swappiness': 30 }, ntp: ['10.0.0.1'] }, '1.0');
  const bad = makeDocument({ sysctls: { 'vm.swappiness': 99 }, ntp: ['10.0.0.2'], dns: ['10.0.0.3'] }, '2.0');
  await node.apply(good);
  node.broken.push('systemd-resolved.service');
  await t.throwsAsync(node.apply(bad), { code: 'CONFIG_NOT_APPLIED', message: /resolved.*does not come up/ });
  t.is(await node.sysctl('vm.swappiness'), '30');
  t.is(await node.file('ntp'), '[Time]\nNTP=10.0.0.1\n');
  t.is(await node.file('dns'), null);
  t.is((await status(node)).inForce?.digest, digestOf(good));
  t.false((await status(node)).torn);
});

test('a parameter that this kernel does not have is refused before anything changes', async (t) => {
  const node = await machine(t);
  const document = makeDocument({ sysctls: { 'kernel.pid_max': 65536 }, ntp: ['10.0.0.2'] }, '1.0');
  const check = { operation: 'config-check', document: document.toString('base64') } as const;
  await t.throwsAsync(CONFIG_OPERATIONS['config-check'](check, node), { code: 'CONFIG_UNSUPPORTED' });
  await t.throwsAsync(node.apply(document), { code: 'CONFIG_UNSUPPORTED' });
  t.deepEqual(await readdir(node.run).catch(() => []), []);
});

test('after a cut in the middle every daemon is restarted again, and the values of the boot are not forgotten', async (t) => {
  const node = await machine(t);
  // Also the way back fails: as if the power of the helper had gone.
  node.broken.push('systemd-timesyncd.service', 'systemd-timesyncd.service');
  await t.throwsAsync(node.apply(FULL), { message: /way back failed/ });
  t.true((await status(node)).torn);
  node.restarted.length = 0;
  await node.apply(null);
  t.is(node.restarted.length, 4);
  for (const [key, value] of Object.entries(KERNEL)) t.is(await node.sysctl(key), value, key);
  t.false((await status(node)).torn);
});

test('the plan from any state leads to the wanted one, and from there to nothing', (t) => {
  const value = fc.constantFrom(0, 30, 60, 100);
  const config = fc
    .record({ swappiness: fc.option(value), ratio: fc.option(fc.constantFrom(10, 20)), ntp: fc.boolean() })
    .map(({ swappiness, ratio, ntp }) =>
      readDocument(
        makeDocument(
          {
            sysctls: {
              ...(swappiness === null ? {} : { 'vm.swappiness': swappiness }),
              ...(ratio === null ? {} : { 'vm.dirty_ratio': ratio }),
            },
            ntp: ntp ? ['10.0.0.1'] : [],
          },
          '1.0',
        ),
      ),
    );
  fc.assert(
    fc.property(fc.array(fc.option(config), { minLength: 1, maxLength: 6 }), (history) => {
      const atBoot: Record<string, string> = { 'vm.swappiness': '60', 'vm.dirty_ratio': '20' };
      const sysctls = { ...atBoot };
      const boot: Record<string, string> = {};
      const files: Record<string, string | null> = {
        ntp: null,
        dns: null,
        log: null,
        logTarget: null,
        labels: null,
      };
      const seen = () => ({ sysctls, boot, files, torn: false }) as Parameters<typeof planConfig>[0];
      for (const wanted of history) {
        for (const step of planConfig(seen(), wanted)) {
          if (step.do === 'sysctl') {
            boot[step.key] ??= sysctls[step.key]!;
            sysctls[step.key] = step.value;
          } else if (step.do === 'file') files[step.name] = step.text;
        }
        t.deepEqual(planConfig(seen(), wanted), []);
        for (const key of Object.keys(atBoot))
          t.is(sysctls[key], String(wanted?.sysctls[key] ?? atBoot[key]), key);
      }
    }),
  );
});

test('requests that the list does not know are refused', (t) => {
  for (const wrong of [
    { operation: 'config-apply' },
    { operation: 'config-apply', document: null, path: '/etc' },
    { operation: 'config-apply', document: 'x'.repeat(100_000) },
    { operation: 'config-write', document: null },
  ])
    t.false(configRequest.safeParse(wrong).success, JSON.stringify(wrong).slice(0, 80));
});
