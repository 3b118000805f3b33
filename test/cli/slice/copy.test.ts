/** `slice cp` on the command line of an owner elsewhere, into and out of a real instance. */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { run } from '../../../base/run.ts';
import { placeOf } from '../../../cli/slice/copy.ts';
import type { Execs } from '../../../image/agent/member/execs.ts';
import { ChunkDecoder, encodeChunks } from '../../../protocol/chunks.ts';
import { owners } from '../../orchestrator/operations/exec/owners.ts';

const MIB = 2 ** 20;
type Handlers = Execs['handlers'];
const SH = (text: string) => ['/bin/busybox', 'sh', '-c', text];

async function copies(t: ExecutionContext) {
  t.timeout(10 * 60_000);
  const world = await owners(t);
  const { eve, id, url, root, paths, runs, node } = world;
  const here = join(paths.root, 'here');
  await mkdir(here);
  const there = (path: string) => `probe/${id}:${path}`;
  const cp = async (...words: string[]) => {
    node.world.now = Date.now();
    const { code, stdout, stderr } = await run(
      join(import.meta.dirname, '../../../bin/bootwave'),
      ['slice', 'cp', '--json', '--root', root, ...words],
      {
        ...{ cwd: here, timeout: 300_000 },
        env: { ...process.env, BOOTWAVE_SERVER: url, BOOTWAVE_OPERATOR: eve.file },
      },
    );
    if (code === 0) return JSON.parse(stdout);
    const told = `${stdout}${stderr}`;
    if (told.includes('COPY_')) t.true(told.includes('"next"'), told);
    return /\b(?:COPY|EXEC|SLICE)_[A-Z_]+/.exec(told)?.[0] ?? told;
  };
  /** In the instance. */
  const say = async (text: string) => {
    node.world.now = Date.now();
    const one = runs(eve, SH(text));
    await one.over;
    return one.got.out;
  };
  return {
    ...world,
    here,
    there,
    cp,
    say,
    handlers: node.execs.handlers as { -readonly [op in keyof Handlers]: Handlers[op] },
  };
}

test.serial(
  'a file goes there and comes back, whole, with its permissions, and the history has its hash',
  async (t) => {
    const { here, there, cp, say, history } = await copies(t);
    const bytes = randomBytes(3 * MIB + 17);
    await writeFile(join(here, 'a b'), bytes);
    await chmod(join(here, 'a b'), 0o750);
    t.deepEqual(await cp('a b', there('/tmp')), { to: '/tmp', bytes: bytes.length });
    t.is(await say('stat -c "%n %a %u" /tmp/*; ls -A /tmp'), '/tmp/a b 750 0\na b\n');
    t.deepEqual(await cp(there('/tmp/a b'), '.'), { to: 'a b', bytes: bytes.length });
    t.deepEqual(await readFile(join(here, 'a b')), bytes);
    t.deepEqual(await cp(there('/tmp/a b'), './other', '--service', 'shop'), {
      to: './other',
      bytes: bytes.length,
    });
    t.deepEqual(await readFile(join(here, 'other')), bytes);
    await writeFile(join(here, 'none'), '');
    await say('echo before > /tmp/none');
    t.like(await cp('none', there('/tmp/none')), { bytes: 0 });
    t.like(await cp(there('/tmp/none'), 'came'), { bytes: 0 });
    t.is(await readFile(join(here, 'came'), 'utf8'), '');
    t.deepEqual((await readdir(here)).sort(), ['a b', 'came', 'none', 'other']);
    const told = await history();
    const hash = createHash('sha256').update(bytes).digest('hex');
    t.true(
      told.some((text) =>
        text.includes(`["/dev/bootwave-copy","put","/tmp","a b","750","${bytes.length}","${hash}"]`),
      ),
    );
    t.true(told.some((text) => text.includes('["/dev/bootwave-copy","get","/tmp/a b"]')));
  },
);

test.serial('what cannot be is refused with a code, and nothing is changed, there or here', async (t) => {
  const { here, there, cp, say, node } = await copies(t);
  await writeFile(join(here, 'small'), 'new');
  await writeFile(join(here, 'large'), Buffer.alloc(20 * MIB));
  await say('mkdir /tmp/folder /tmp/folder/small; echo old > /tmp/large');
  // Not when a folder was changed: what comes there has no name until it is whole, and is refused then.
  const all = 'find /tmp | sort | xargs stat -c "%n %A %u %s"; cat /tmp/large';
  const before = await say(all);
  t.is(before.match(/\n/g)?.length, 5, before);
  for (const [from, to, code] of [
    [there('/nothing'), 'x', 'COPY_ABSENT'],
    [there('/tmp/large/x'), 'x', 'COPY_ABSENT'],
    [there('/tmp/folder'), 'x', 'COPY_KIND'],
    [there('/proc/self/fd/0'), 'x', 'COPY_KIND'],
    [there('/dev/null'), 'x', 'COPY_KIND'],
    [there('/proc/1/mem'), 'x', /COPY_(?:DENIED|FAILED)/],
    [there('/tmp/..'), '.', 'COPY_NAME'],
    [there('/tmp/large'), 'no/such/folder', 'COPY_LOCAL'],
    ['small', there('/no/such'), 'COPY_ABSENT'],
    ['small', there('/etc/small'), 'COPY_DENIED'],
    ['small', there('/tmp/folder'), 'COPY_KIND'],
    ['large', there('/tmp'), 'COPY_FULL'],
    ['absent', there('/tmp'), 'COPY_LOCAL'],
    ['.', there('/tmp'), 'COPY_KIND'],
    ['small', 'probe/nowhere:/tmp', 'SLICE_NODE'],
  ] as const) {
    const said = await cp(from, to);
    if (typeof code === 'string') t.is(said, code, `${from} ${to}`);
    else t.regex(said, code, `${from} ${to}`);
  }
  t.regex(await cp('small', 'large'), /one of both/);
  t.regex(await cp(there('/x'), there('/y')), /one of both/);
  t.is(await say(all), before);
  // An image from before has no such program.
  const { places, must } = node.node;
  const pid = (await readFile(join(places.run, 'instances/fleet.shop.probe/pid'), 'utf8')).trim();
  for (const words of ['umount /dev/bootwave-copy', 'rm /dev/bootwave-copy'])
    await must('nsenter', '--target', pid, '--mount', '/bin/busybox', ...words.split(' '));
  t.is(await cp('small', there('/tmp')), 'COPY_IMAGE');
  t.deepEqual((await readdir(here)).sort(), ['large', 'small']);
});

test.serial('links lead nowhere: not out of the instance, and not to another file here', async (t) => {
  const { here, there, cp, say } = await copies(t);
  await writeFile(join(here, 'secret'), 'of this machine');
  await writeFile(join(here, 'mine'), 'mine');
  // As absolute links and as many steps up: each ends in the instance.
  await say(`ln -s ${here}/secret /tmp/a; ln -s ../../../../..${here}/secret /tmp/b; ln -s ${here} /tmp/c`);
  for (const path of ['/tmp/a', '/tmp/b', '/tmp/c/secret', `/proc/1/root${here}/secret`])
    t.is(await cp(there(path), 'got'), 'COPY_ABSENT');
  t.is(await cp('mine', there('/tmp/c/mine')), 'COPY_ABSENT');
  t.like(await cp('mine', there('/tmp/a')), { bytes: 4 });
  t.is(await say('[ -L /tmp/a ] || cat /tmp/a'), 'mine');
  await symlink('secret', join(here, 'link'));
  t.like(await cp(there('/tmp/a'), 'link'), { bytes: 4 });
  t.is(await readFile(join(here, 'link'), 'utf8'), 'mine');
  t.is(await readFile(join(here, 'secret'), 'utf8'), 'of this machine');
});

test.serial('what is changed or cut on its way counts as nothing, there and here', async (t) => {
  const { here, there, cp, say, handlers, node } = await copies(t);
  await writeFile(join(here, 'a'), randomBytes(2 * MIB));
  await say('echo before > /tmp/a');
  const { 'exec-write': write, 'exec-read': read } = handlers;
  let turns = 0;
  // Its agent has gone bad.
  handlers['exec-write'] = (args, context) => {
    const bytes = Buffer.from(args.bytes, 'base64');
    turns += 1;
    if (turns === 3) bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
    return write({ ...args, bytes: bytes.toString('base64') }, context);
  };
  t.is(await cp('a', there('/tmp/a')), 'COPY_CHANGED');
  // Frozen in the middle.
  turns = 0;
  handlers['exec-write'] = async (args, context) => {
    turns += 1;
    if (turns === 3) node.world.restraints = [{ name: 'fleet/shop@probe', how: 'freeze' }];
    if (turns >= 3) await new Promise((resolve) => setTimeout(resolve, 200));
    return write(args, context);
  };
  t.is(await cp('a', there('/tmp/a')), 'COPY_FAILED');
  node.world.restraints = [];
  handlers['exec-write'] = write;
  t.is(await say('cat /tmp/a; ls -A /tmp'), 'before\na\n');
  const decoder = new ChunkDecoder();
  let dropped = false;
  handlers['exec-read'] = async (args, context) => {
    const { bytes, ended } = await read(args, context);
    const rest = decoder.push(Buffer.from(bytes, 'base64')).filter(({ stream }) => {
      const drop = stream === 'out' && !dropped;
      dropped ||= drop;
      return !drop;
    });
    const kept = rest.map((one) => encodeChunks(one.stream, one.bytes));
    return { bytes: Buffer.concat(kept).toString('base64'), ended };
  };
  t.is(await cp(there('/tmp/a'), 'got'), 'COPY_CUT');
  handlers['exec-read'] = read;
  t.deepEqual(await readdir(here), ['a']);
});

test('any words: a place there is one of a slice and a node, and a path that begins with . or / is one here', (t) => {
  t.deepEqual(placeOf('probe/web1:/data/a:b'), { name: 'probe', node: 'web1', path: '/data/a:b' });
  for (const here of [
    './probe/web1:/x',
    '/probe/web1:/x',
    'probe/web1',
    'probe:/x',
    'probe/a/b:/x',
    'probe/web1:',
  ])
    t.is(placeOf(here), null, here);
  fc.assert(
    fc.property(fc.string(), (word) => {
      const place = placeOf(word);
      if (place !== null) t.is(`${place.name}/${place.node}:${place.path}`, word);
      t.is(placeOf(`./${word}`), null);
    }),
  );
});
