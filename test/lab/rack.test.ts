import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { createLab } from '../../lab/create.ts';
import { openLab } from '../../lab/lab.ts';
import { namespaceExists, processesIn } from '../../lab/namespace.ts';
import { identify, isAlive } from '../../lab/process.ts';
import { until } from '../support/until.ts';
import { HALT, program, small, temporary } from './small.ts';

const HERE = import.meta.dirname;
/** Emulated machines, perhaps beside others. */
const SLOW = { within: 20 * 60_000 };

test('two labs side by side leave interfaces, routes, rules, namespaces and processes exactly as before', async (t) => {
  const folder = join(await temporary(t), 'labs');
  await mkdir('/run/netns', { recursive: true });
  const { stdout } = await mustRun('unshare', [
    ...['--net', '--mount', 'sh', '-c'],
    `mount -t tmpfs tmpfs /run/netns && exec "$0" "$@"`,
    ...[process.execPath, join(HERE, 'outer.ts'), folder],
  ]);
  const { before, during, inside, otherStays, after } = JSON.parse(stdout);
  // `folder` itself is the caller's; the labs in it are gone.
  t.deepEqual({ ...after, folder: false }, before);

  t.deepEqual(during.links, before.links, 'a lab shows no interface to its host');
  t.deepEqual([during.addresses, during.routes], [before.addresses, before.routes]);
  t.is(during.namespaces.length, 2);
  t.true(during.processes.length >= 4, 'two machines and two TPMs');
  for (const links of inside) {
    const bridge = links.find((link: { ifname: string }) => link.ifname === 'br0');
    t.is(bridge.addr_info[0].local, '10.77.0.1');
  }
  t.true(otherStays, 'the end of one lab must not be felt in the other');
});

test('a folder that is not a lab, or is one already, is never taken', async (t) => {
  const { folder } = await small(t);
  const options = { folder, nodes: [{ name: 'n1' }], accelerator: 'tcg' as const };
  await t.throwsAsync(createLab(options), { code: 'LAB_EXISTS' });
  const precious = await temporary(t);
  await writeFile(join(precious, 'thesis.txt'), 'x');
  await t.throwsAsync(createLab({ ...options, folder: precious }), { code: 'LAB_EXISTS' });
  await t.throwsAsync(openLab(precious), { code: 'LAB_UNKNOWN' });
  t.is(await readFile(join(precious, 'thesis.txt'), 'utf8'), 'x');
});

test('making a lab that is interrupted leaves nothing', async (t) => {
  const folder = join(await temporary(t), 'lab');
  const name = `cut-${Math.random().toString(16).slice(2, 8)}`;
  for (const delay of [0, 5, 10, 20, 40, 80, 160]) {
    const making = createLab({
      name,
      folder,
      nodes: [{ name: 'n1' }, { name: 'n2' }],
      signal: AbortSignal.timeout(delay),
    });
    const lab = await making.catch(() => undefined);
    await lab?.down();
    await t.throwsAsync(openLab(folder), { code: 'LAB_UNKNOWN' });
  }
  const { stdout } = await mustRun('ip', ['netns', 'list']);
  t.false(stdout.includes(`bw-${name}-`));
});

test('a lab whose maker was killed is taken down by another process', async (t) => {
  const folder = join(await temporary(t), 'lab');
  const module = join(HERE, '../../lab/create.ts');
  const maker = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { createLab } from ${JSON.stringify(module)};
     const lab = await createLab({ folder: ${JSON.stringify(folder)}, accelerator: 'tcg',
       nodes: [{ name: 'n1', firmware: 'bios', tpm: true, memoryMiB: 256 }], onEvent: () => {} });
     await lab.powerOn('n1');
     await lab.startService('idle', 'sleep', ['1000']);
     console.log('ready');
     setInterval(() => {}, 1000);`,
  ]);
  await once(maker.stdout, 'data');
  maker.kill('SIGKILL');
  await once(maker, 'exit');

  const lab = await openLab(folder);
  const status = await lab.status();
  t.true(status.nodes[0]?.power.on, 'the machine runs on without its maker');
  // Not recorded, and deaf to SIGTERM.
  const stray = spawn('ip', [
    'netns',
    'exec',
    lab.namespace,
    'sh',
    '-c',
    'trap "" TERM; echo deaf; sleep 1000 & wait',
  ]);
  await once(stray.stdout, 'data');
  const running = await processesIn(lab.namespace);
  t.true(running.length >= 4, 'QEMU, TPM, service, stray');
  await lab.down();
  t.deepEqual(running.filter(isAlive), []);
  t.false(await namespaceExists(lab.namespace));
  await t.throwsAsync(openLab(folder), { code: 'LAB_UNKNOWN' });
});

test('a recorded pid that now belongs to someone else is left alone', async (t) => {
  const { lab, folder } = await small(t);
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(stranger, 'spawn');
  const id = identify(stranger.pid!)!;
  const mistaken = { pid: id.pid, startTime: '1' };
  await writeFile(
    join(folder, 'nodes/n1/power.json'),
    JSON.stringify({ qemu: mistaken, tpm: mistaken, consoleFrom: 0, logFrom: 0, since: 0 }),
  );
  await writeFile(join(folder, 'services/idle.json'), JSON.stringify({ process: mistaken }));
  t.like((await lab.status()).nodes[0]?.power, { on: false, why: 'crashed' });
  await lab.down();
  t.true(isAlive(id));
  stranger.kill('SIGKILL');
});

test('a record that cannot be understood stops everything before anything is touched', async (t) => {
  const { lab, folder } = await small(t);
  const path = join(folder, 'lab.json');
  const good = await readFile(path);
  await writeFile(path, '{"format":1,"name":"lab"}');
  await t.throwsAsync(openLab(folder), { code: 'LAB_STATE' });
  t.true(await namespaceExists(lab.namespace));
  await writeFile(path, good);
});

test('power: on once, off is off, a cycle keeps disk and identity, and two switches at once do not double it', async (t) => {
  const { lab, folder, events } = await small(t);
  const results = await Promise.allSettled([lab.powerOn('n1'), lab.powerOn('n1')]);
  t.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  await t.throwsAsync(lab.powerOn('n1'), { code: 'LAB_NODE_ON' });
  const mark = Buffer.from('kept');
  await writeFile(join(folder, 'nodes/n1/disk.raw'), mark, { flag: 'r+' });
  await lab.cycle('n1');
  t.true((await lab.status()).nodes[0]?.power.on);
  await lab.powerOff('n1');
  await lab.powerOff('n1');
  t.like((await lab.status()).nodes[0]?.power, { on: false, why: 'switched-off' });
  await using disk = await open(join(folder, 'nodes/n1/disk.raw'));
  t.deepEqual((await disk.read(Buffer.alloc(4), 0, 4, 0)).buffer, mark);
  t.deepEqual(await processesIn(lab.namespace), []);
  const kinds = events.filter(({ kind }) => kind === 'on' || kind === 'off').map(({ kind }) => kind);
  t.deepEqual(kinds, ['on', 'off', 'on', 'off']);
  await t.throwsAsync(lab.powerOn('n9'), { code: 'LAB_NO_NODE' });
});

test('a node that switches itself off is seen to have done so, watched or not', async (t) => {
  const { lab, folder, events } = await small(t);
  // mov dx, 0x604 (ACPI PM1a_CNT on q35); mov ax, SLP_EN; out dx, ax; hlt
  await program(folder, [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4]);
  await lab.powerOn('n1', { boot: 'disk' });
  await until(() => events.some(({ kind }) => kind === 'off'), SLOW);
  t.deepEqual(events.at(-1), { kind: 'off', node: 'n1', why: 'powered-itself-off' });

  const unwatched = await openLab(folder);
  await unwatched.powerOn('n1', { boot: 'disk' });
  await until(async () => !(await unwatched.status()).nodes[0]?.power.on, SLOW);
  t.like((await unwatched.status()).nodes[0]?.power, { on: false, why: 'powered-itself-off' });
});

test('a restart, a reset and a crash are told apart', async (t) => {
  const { lab, folder, events } = await small(t);
  const seen = (kind: string) => events.filter((event) => event.kind === kind);
  // hlt for good
  await program(folder, HALT);
  await lab.powerOn('n1', { boot: 'disk' });
  await lab.reset('n1');
  await until(() => seen('reset').length > 0, SLOW);
  t.like(seen('reset')[0], { by: 'operator' });
  const power = (await lab.status()).nodes[0]?.power;
  if (power?.on !== true) return t.fail();
  process.kill(power.qemu.pid, 'SIGKILL');
  await until(() => seen('off').length > 0, SLOW);
  t.like(seen('off')[0], { why: 'crashed' });

  // mov dx, 0xcf9; mov al, 6; out dx, al: a restart by the guest
  events.length = 0;
  await program(folder, [0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4]);
  await lab.powerOn('n1', { boot: 'disk' });
  await until(() => seen('reset').length > 0, SLOW);
  t.like(seen('reset')[0], { by: 'guest' });
});

test('the console of this power-on is not that of the last', async (t) => {
  const { lab, folder } = await small(t);
  await program(folder, HALT);
  await lab.powerOn('n1', { boot: 'disk' });
  await (await lab.console('n1')).waitFor(/Booting from Hard Disk/, { timeout: 300_000 });
  await lab.cycle('n1', { boot: 'disk' });
  const console = await lab.console('n1');
  await console.waitFor(/Booting from Hard Disk/, { timeout: 300_000 });
  t.is((await lab.consoleLog('n1')).split('Booting from Hard Disk').length, 3, 'the log keeps both');
  await t.throwsAsync(console.waitFor(/Booting from Hard Disk/, { timeout: 0 }), {
    code: 'LAB_CONSOLE_TIMEOUT',
  });
});

test('a machine that QEMU refuses is off again, and says why', async (t) => {
  const { lab } = await small(t);
  await t.throwsAsync(lab.powerOn('n1', { extraArgs: ['-no-such-option'] }), {
    code: 'LAB_QEMU',
    message: /no-such-option/,
  });
  t.false((await lab.status()).nodes[0]?.power.on);
  t.deepEqual(await processesIn(lab.namespace), []);
});

test('a service that ends at once is an error with its last words; a killed one can be started again', async (t) => {
  const { lab } = await small(t);
  await t.throwsAsync(
    lab.startService('broken', 'sh', ['-c', 'echo no license; exit 3'], { ready: async () => false }),
    { code: 'LAB_SERVICE', message: /no license/ },
  );
  const coded = JSON.stringify({ error: { code: 'KEYS_MISSING', what: 'no keys', next: 'make some' } });
  await t.throwsAsync(lab.startService('coded', 'echo', [coded], { ready: async () => false }), {
    message: /: no keys \[KEYS_MISSING\]; make some$/,
  });
  await lab.startService('idle', 'sleep', ['1000']);
  await t.throwsAsync(lab.startService('idle', 'sleep', ['1000']), { code: 'LAB_SERVICE_ON' });
  await lab.stopService('idle', 'SIGKILL');
  await lab.startService('idle', 'sleep', ['1000']);
  t.is(Object.keys((await lab.status()).services).length, 1);
});
