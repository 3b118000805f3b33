import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { carriedFrom } from '../../../../../image/agent/root/disk/carry.ts';

const done = async () => ({ code: 0, stdout: '', stderr: '' });
/** Mounts nothing: what is in the folder is what the partition holds. */
const tools = { run: done, mustRun: done };

async function setUp(t: ExecutionContext) {
  const mount = await mkdtemp(join(tmpdir(), 'bootwave-carry-'));
  t.teardown(() => rm(mount, { recursive: true, force: true }));
  const names = async () => (await carriedFrom('/dev/none', mount, tools)).map(({ name }) => name).sort();
  return { mount, names };
}

test('orders and records are carried over; links, folders and large files are not', async (t) => {
  const { mount, names } = await setUp(t);
  t.deepEqual(await names(), [], 'there are none yet');
  const agent = join(mount, 'agent');
  await mkdir(join(agent, 'folder'), { recursive: true });
  await writeFile(join(agent, 'order.json'), '{}');
  await writeFile(join(agent, 'large'), Buffer.alloc(1024 * 1024 + 1));
  await symlink('/etc/hostname', join(agent, 'link'));
  t.deepEqual(await names(), ['order.json']);
});

test('a partition that somebody has prepared leads to no file of this system, and fills no memory', async (t) => {
  const { mount, names } = await setUp(t);
  const elsewhere = join(mount, 'elsewhere');
  await mkdir(elsewhere);
  for (let i = 0; i < 100; i += 1) await writeFile(join(elsewhere, `${i}`), 'x');
  await symlink(elsewhere, join(mount, 'agent'));
  t.deepEqual(await names(), []);
  await rm(join(mount, 'agent'));
  await mkdir(join(mount, 'agent'));
  for (let i = 0; i < 100; i += 1) await writeFile(join(mount, 'agent', `${i}`), 'x');
  t.is((await names()).length, 64);
});
