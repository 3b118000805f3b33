import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../base/run.ts';
import type { Lease } from '../../../bootserver/dhcp/free-addresses.ts';
import { LeaseJournal, replay } from '../../../bootserver/dhcp/journal.ts';
import { parseIp4 } from '../../../formats/dhcp/ip4.ts';

const MODULE = new URL('../../../bootserver/dhcp/journal.ts', import.meta.url).href;

async function place(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-leases-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return join(folder, 'bootserver', 'leases');
}
const lease = (n: number, until = 5000): Lease => ({
  ip: parseIp4('10.0.0.0') + n,
  key: `0152540000${n.toString(16).padStart(4, '0')}`,
  mac: '52:54:00:00:00:01',
  until,
});

test('leases, releases and declines are there after a restart; the file is private', async (t) => {
  const path = await place(t);
  const { journal } = await LeaseJournal.open(path);
  await Promise.all([
    journal.append(lease(1)),
    journal.append(lease(2)),
    journal.append({ ...lease(3), key: '' }),
  ]);
  await journal.append(lease(1, 0));
  await journal.close();
  t.is((await stat(path)).mode & 0o777, 0o600);

  const { journal: again, table, skipped } = await LeaseJournal.open(path);
  t.teardown(() => again.close());
  t.is(skipped, 0);
  t.is(table.holder(lease(1).ip, 100), undefined);
  t.is(table.leaseOf(lease(1).key)?.ip, lease(1).ip);
  t.is(table.holder(lease(2).ip, 100), lease(2).key);
  t.is(table.holder(lease(3).ip, 100), '');
});

test('a torn last line is cut off and the next lease is whole', async (t) => {
  const path = await place(t);
  const first = await LeaseJournal.open(path);
  await first.journal.append(lease(1));
  await first.journal.close();
  await appendFile(path, '{"ip":"10.0.0.2","key":"01');
  const second = await LeaseJournal.open(path);
  t.is(second.table.size, 1);
  await second.journal.append(lease(3));
  await second.journal.close();
  const { table, skipped } = replay(await readFile(path));
  t.is(skipped, 0);
  t.deepEqual([...table.records()], [lease(1), lease(3)]);
});

test('an unreadable line in the middle costs that line only, and is counted', async (t) => {
  const path = await place(t);
  const { journal } = await LeaseJournal.open(path);
  await journal.append(lease(1));
  await journal.close();
  const good = await readFile(path, 'utf8');
  const middle = '\0\0\0\n{"ip":"10.0.0.999","key":"a","mac":"","until":1}\n{"ip":5}\nnull\n';
  await writeFile(path, `${good}${middle}${good.replace('10.0.0.1', '10.0.0.2').replace('0001"', '0002"')}`);
  const again = await LeaseJournal.open(path);
  t.teardown(() => again.journal.close());
  t.is(again.skipped, 4);
  t.is(again.table.size, 2);
});

test('history is compacted away while leases keep coming', async (t) => {
  const path = await place(t);
  const { journal, table } = await LeaseJournal.open(path);
  for (let round = 0; round < 30; round++) {
    await Promise.all(
      Array.from({ length: 100 }, (_, n) => {
        const one = lease(n, round);
        table.apply({ kind: 'record', lease: one });
        return journal.append(one);
      }),
    );
  }
  await journal.close();
  const text = await readFile(path, 'utf8');
  t.true(text.split('\n').length < 2000, `${text.split('\n').length} lines`);
  const { table: read } = replay(Buffer.from(text));
  t.is(read.size, 100);
  t.true([...read.records()].every((one) => one.until === 29));
});

test('what was promised before kill -9 is there after it', async (t) => {
  const path = await place(t);
  const program = `
    const { LeaseJournal } = await import(${JSON.stringify(MODULE)});
    const { journal } = await LeaseJournal.open(${JSON.stringify(path)});
    for (let n = 1; ; n++) {
      await journal.append({ ip: 0x0a000000 + (n % 250), key: 'k' + (n % 250), mac: '', until: n });
      process.stdout.write(n + '\\n');
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.split('\n').length > 400) child.kill('SIGKILL');
  });
  await once(child, 'close');
  const promised = Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1));
  t.true(promised >= 400);
  const { journal, table, skipped } = await LeaseJournal.open(path);
  t.teardown(() => journal.close());
  t.is(skipped, 0);
  t.true(Math.max(...[...table.records()].map((one) => one.until)) >= promised);
});

test('a lease file that cannot be opened is a coded error', async (t) => {
  const path = await place(t);
  await writeFile(dirname(path), 'a file where the folder should be');
  const error = await t.throwsAsync(LeaseJournal.open(path));
  t.is((error as { code?: string } | undefined)?.code, 'LEASES_UNREADABLE');
});

test('a full disk: refused with a code, and whole again when there is room', async (t) => {
  // A tmpfs of 16 KiB in a mount namespace of its own, which goes with the process.
  const program = `
    const { LeaseJournal } = await import(${JSON.stringify(MODULE)});
    const { readFile, rm, writeFile } = await import('node:fs/promises');
    const { journal } = await LeaseJournal.open('/mnt/leases');
    const lease = (n) => ({ ip: 0x0a000000 + n, key: 'k' + n, mac: '', until: n });
    await journal.append(lease(1));
    await writeFile('/mnt/filler', Buffer.alloc(16384)).catch(() => {});
    const seen = [];
    for (let n = 2; n < 200 && seen.length < 2; n++) await journal.append(lease(n)).catch((e) => seen.push(e.code));
    await rm('/mnt/filler');
    await journal.append(lease(250));
    const text = await readFile('/mnt/leases', 'utf8');
    const whole = text.trim().split('\\n').every((line) => JSON.parse(line));
    console.log(JSON.stringify({ seen, whole, last: JSON.parse(text.trim().split('\\n').at(-1)).ip }));`;
  const script = 'mount -t tmpfs -o size=16k none /mnt && exec "$0" --input-type=module -e "$1"';
  const { stdout, stderr } = await run('unshare', ['-m', 'sh', '-c', script, process.execPath, program]);
  const last = stdout.trim().split('\n').at(-1) ?? '';
  t.deepEqual(last === '' ? stderr : JSON.parse(last), {
    seen: ['LEASES_UNWRITABLE', 'LEASES_UNWRITABLE'],
    whole: true,
    last: '10.0.0.250',
  });
});
