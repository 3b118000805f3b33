/**
 * Two slices of different owners on one real node: each owner works from a network namespace of its own with a certificate and nothing
 * else, and what runs in one tries all that it can to see, reach, stop and starve the other. Then somebody asks who sent a packet.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { mustRun, run } from '../../base/run.ts';
import { placeOf, slotFor } from '../../image/agent/root/services/place.ts';
import { stopBootServer } from '../../lab/boot-server.ts';
import { LAB_NETWORK } from '../../lab/namespace.ts';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { fetched, release, shownBy } from '../support/services.ts';
import { snapshot } from '../support/snapshot.ts';
import { NODE, UPDATED, updatedRack } from '../support/updated.ts';

const MINUTE = 60_000;
const PROGRAM = join(import.meta.dirname, '../../bin/bootwave');
const OPERATORS = 7444;
const DESK = `desk-${process.pid}`;
/** Bytes. */
const STATE = 2 ** 20;
/** Nobody has this address of the lab's network. */
const STRANGER = '10.77.0.99';
const MARK = 'seventeen-oysters';
/** Finds it, and not the one who looks for it. */
const PATTERN = '[s]eventeen-oysters';

/** Counts by the second, keeps what nobody else should read, and has its name among the arguments of a process. */
const VICTIM = `
echo counting; echo ${MARK} > /state/kept; echo ${MARK} > /tmp/${MARK}
(i=0; while :; do i=$((i+1)); echo $i > /tmp/count.new; mv /tmp/count.new /tmp/index.html; sleep 1; done) &
sh -c 'while :; do sleep 5; done' ${MARK} &
exec busybox httpd -f -p 9090 -h /tmp`;

/** What it finds stands at its port, one line each; none of them may say FOUND. */
const SPY = `
try() { what=$1; shift; if "$@" > /tmp/out 2>&1; then echo "$what FOUND $(head -c 200 /tmp/out | tr '\\n' ' ')"; else echo "$what no"; fi; }
look() {
  try process grep -l '${PATTERN}' /proc/[0-9]*/cmdline
  try file sh -c 'find / -name "*oysters*" -o -name kept | grep .'
  try content grep -rlsq '${PATTERN}' /tmp/none /state /run /var /sys/fs/cgroup
  try cgroup sh -c 'ls /sys/fs/cgroup | grep -i bootwave-slice'
  try mounts sh -c 'grep -c victim /proc/self/mountinfo'
  try node-port wget -q -T 2 -O - http://$NODE_ADDRESS:9090/
  try server wget -q -T 2 -O - http://${LAB_NETWORK.address}:80/
  try sockets sh -c 'grep -i ":2382 " /proc/net/tcp'
  try root sh -c 'echo x > /bin/x'
  try device sh -c 'ls /dev/vda /dev/mem /dev/kmsg | grep .'
  try neighbour wget -q -T 2 -O - http://$NEIGHBOUR:9090/
  try agent wget -q -T 2 -O - http://$NODE_ADDRESS:22/
}
look > /tmp/look.new; kill -9 -1 2>/dev/null; echo "signals sent" >> /tmp/look.new; mv /tmp/look.new /tmp/index.html
(while :; do echo x | busybox nc -w 1 ${STRANGER} 9999; sleep 2; done) &
# More memory than it may have ends all of it: once is enough. Then all files and all bytes of its disk, and the journal.
if [ ! -e /state/full ]; then : > /state/full; (head -c 1000m /dev/zero | tail) &
else
  i=0; while [ $i -lt 5000 ] && touch /state/$i; do i=$((i+1)); done
  dd if=/dev/zero of=/state/0 bs=4096 count=4096
  echo "filled $i files, $(wc -c < /state/0) bytes" >> /tmp/index.html
  (while :; do echo flood; done) &
fi
for i in 1 2 3 4; do (while :; do :; done) & done
exec busybox httpd -f -p 8080 -h /tmp`;

let rack: Rack;
let desk: string;
rackFor(
  test,
  'slices',
  async () => Rack.restore('slices', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    await rack.heard(NODE);
    await stopBootServer(rack.lab);
    await rack.startServer(['--operators-port', `${OPERATORS}`]);
    desk = await mkdtemp(join(tmpdir(), 'bw-desk-'));
    await mustRun('ip', ['netns', 'add', DESK]);
    const { bridge } = LAB_NETWORK;
    for (const command of [
      `link add desk0 type veth peer name desk1 netns ${DESK}`,
      `link set desk0 master ${bridge} up`,
    ])
      await rack.lab.inNamespace('ip', command.split(' '));
    await mustRun('ip', ['-n', DESK, 'addr', 'add', '10.77.0.98/24', 'dev', 'desk1']);
    await mustRun('ip', ['-n', DESK, 'link', 'set', 'desk1', 'up']);
    await rack.until(NODE, ({ state }) => state === 'healthy');
  },
  {
    minutes: 60,
    gone: async () => {
      await run('ip', ['netns', 'delete', DESK]);
      await rm(desk, { recursive: true, force: true });
    },
  },
);

/** As an owner types it at a desk that has a file and nothing else. */
async function as(owner: string, ...args: string[]) {
  const env = {
    ...process.env,
    ...{
      BOOTWAVE_SERVER: `https://${LAB_NETWORK.address}:${OPERATORS}`,
      BOOTWAVE_OPERATOR: join(desk, `${owner}.pem`),
    },
    ...{ BOOTWAVE_DATA: join(desk, 'none'), BOOTWAVE_REDIS_URL: '', HOME: desk },
  };
  const { code, stdout, stderr } = await run('ip', ['netns', 'exec', DESK, PROGRAM, ...args], {
    ...{ env, cwd: desk, timeout: MINUTE },
  });
  return code === 0 ? stdout : `refused: ${stderr}`;
}

const until = (what: () => Promise<string>, holds: RegExp, timeout = 15 * MINUTE) =>
  shownBy(what, holds, timeout);
const count = async (port = 9090) => Number(await until(() => fetched(rack, NODE, port), /^\d+$/m, MINUTE));
const core = async (...args: string[]) => (await rack.bootwave(...args)).stdout;

test.serial(
  'each owner brings its own service to its own slice, with a certificate and nothing else',
  async (t) => {
    t.timeout(60 * MINUTE);
    const bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
    const { address } = (await rack.record(NODE)).observed;
    const neighbour = placeOf(slotFor('fleet/counter@good', new Map())!).address;
    const port = (number: number) => [{ name: 'http', port: number }];
    const limits = { memory: 32 * 2 ** 20, cpu: 30, tasks: 16 };
    const state = { path: '/state', bytes: STATE };
    await release(rack, bundle, 'counter:1', VICTIM, { ports: port(9090), state, limits });
    await release(rack, bundle, 'spy:1', SPY, {
      ...{
        ports: port(8080),
        state,
        limits,
        env: { PATH: '/bin', NODE_ADDRESS: address, NEIGHBOUR: neighbour },
      },
      egress: [{ to: `${STRANGER}/32`, port: 9999 }],
    });
    for (const [slice, owner, own] of [
      ['good', 'eve', 'tcp/9090'],
      ['bad', 'mal', 'tcp/8080'],
    ] as const) {
      const share = ['--cpu', '30', '--memory', '40', '--disk', '2', '--port', own];
      await core('slice', 'create', slice, '--count', '1', ...share, '--until', '30d');
      const file = join(desk, `${owner}.pem`);
      await core('operator', 'add', owner, '--role', 'slice-owner', '--slice', slice, '--out', file);
    }
    t.regex(await until(() => as('eve', 'slice', 'show', 'good'), /1 of 1/), /1 of 1/);
    t.notRegex(await as('eve', 'slice', 'run', 'good', 'counter:1'), /refused/);
    t.regex(await until(() => fetched(rack, NODE, 9090), /\d/), /^\d+\n$/);
    t.notRegex(await as('mal', 'slice', 'run', 'bad', 'spy:1'), /refused/);

    // Another owner's words, and the fleet's.
    for (const words of [
      ['slice', 'show', 'good'],
      ['slice', 'run', 'good', 'spy:1'],
      ['slice', 'stop', 'good'],
      ['slice', 'delete', 'good', '--reason', 'x'],
      ['slice', 'extend', 'good', '--until', '60d'],
      ['service', 'freeze', 'counter@good', '--reason', 'x'],
      ['node', 'list'],
      ['service', 'list'],
    ])
      t.regex(await as('mal', ...words), /^refused: [\s\S]*OPERATOR_(SLICE|ROLE)/, words.join(' '));
    t.notRegex(await as('mal', 'slice', 'list'), /good/);
    t.regex(
      await as('mal', 'slice', 'run', 'bad', 'counter:1', 'spy:1'),
      /refused: [\s\S]*SLICE_(PORTS|SHARE)/,
    );
  },
);

test.serial('neither sees, reaches, stops nor starves the other', async (t) => {
  t.timeout(30 * MINUTE);
  const seen = await until(() => fetched(rack, NODE, 8080), /signals sent\nfilled/);
  t.log(seen);
  t.regex(seen, /signals sent\nfilled/);
  const [, files, size] = /filled (\d+) files, (\d+) bytes/.exec(seen)!.map(Number);
  t.true(files! > 0 && files! < 5000 && size! < STATE, 'its own share of the disk ends it');
  t.is(seen.match(/ no$/gm)?.length, 12);
  t.notRegex(seen, /FOUND/);
  // While it burns all that it has, the other one goes on, and is the one that began.
  const first = await count();
  for (let i = 0; i < 10; i += 1) await fetched(rack, NODE, 8080);
  let last = first;
  for (const end = performance.now() + MINUTE; last <= first && performance.now() < end; await sleep(500))
    last = await count();
  t.true(last > first, `${first}, and then ${last}`);
  await rack.until(NODE, ({ state }) => state === 'healthy');
});

test.serial("an owner runs a command in their own instance, and in nobody else's", async (t) => {
  t.timeout(30 * MINUTE);
  const exec = (owner: string, slice: string, ...command: string[]) =>
    as(owner, 'slice', 'exec', slice, '--node', NODE, '--', ...command);
  t.regex(await exec('eve', 'good', '/bin/sh', '-c', 'cat /state/kept; id -u'), /seventeen-oysters\n\d+/);
  // Beside somebody who has filled all that they may.
  t.regex(await exec('eve', 'good', '/bin/sh', '-c', 'echo more > /state/more; cat /state/more'), /^more\n/);
  const logs = await until(() => as('eve', 'slice', 'logs', 'good'), /counting/);
  t.regex(logs, /counting/);
  t.notRegex(logs, /flood/);
  t.notRegex(await exec('eve', 'good', '/bin/sh', '-c', 'cat /proc/[0-9]*/cmdline'), /8080/);
  t.regex(await exec('mal', 'good', '/bin/sh', '-c', 'cat /state/kept'), /^refused: [\s\S]*OPERATOR_SLICE/);
  // The unit of a command has an end of its own.
  t.regex(await exec('eve', 'good', '/bin/sh', '-c', 'exit 3'), /^refused: /);
  const history = await core('node', 'history', NODE, '--json');
  t.true(history.includes('cat /state/kept; id -u'));
  // A file of theirs, onto a disk with a bound and back.
  const cp = (owner: string, from: string, to: string) => as(owner, 'slice', 'cp', from, to);
  await writeFile(join(desk, 'words'), 'sent\n');
  t.regex(await cp('eve', './words', `good/${NODE}:/state/`), /^5 bytes copied/);
  t.is(await exec('eve', 'good', '/bin/sh', '-c', 'cat /state/words'), 'sent\n');
  t.regex(await cp('eve', `good/${NODE}:/state/words`, './back'), /^5 bytes copied/);
  t.is(await readFile(join(desk, 'back'), 'utf8'), 'sent\n');
  t.regex(await cp('mal', './words', `bad/${NODE}:/state/`), /^refused: [\s\S]*COPY_FULL/);
  t.regex(await cp('mal', './words', `good/${NODE}:/state/`), /^refused: [\s\S]*OPERATOR_SLICE/);
});

test.serial('who sent this, and stop it', async (t) => {
  t.timeout(40 * MINUTE);
  const who = () =>
    core('who', '--from', NODE, '--to', STRANGER, '--port', '9999', '--at', '0m', '--within', '3600');
  // Without a version where it had just ended when its node was asked.
  t.regex(await until(who, /@bad/), /spy@bad(:1)? +mal +sent/);
  t.notRegex(await who(), /counter/);
  await core('service', 'freeze', 'spy@bad', '--reason', 'complaint 4711');
  t.is(await until(() => fetched(rack, NODE, 8080), /^$/), '');
  t.true((await count()) > 0, 'the other one goes on');
  await core('service', 'resume', 'spy@bad', '--reason', 'mended');
  t.regex(await until(() => fetched(rack, NODE, 8080), /signals sent/), /signals sent/);
  // Its owner is told.
  t.notRegex(await as('mal', 'slice', 'delete', 'bad', '--reason', 'done'), /refused/);
  t.is(await until(() => fetched(rack, NODE, 8080), /^$/), '');
  t.true((await count()) > 0);
});
