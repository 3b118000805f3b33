import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { run } from '../../../../base/run.ts';
import { sealDenial } from '../../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal } from '../../../../orchestrator/fleet/decisions/journal.ts';
import { Kept } from '../../../../orchestrator/fleet/decisions/kept.ts';
import { DecisionsOnDisk } from '../../../../orchestrator/fleet/decisions/on-disk.ts';
import { temporaryData } from '../support.ts';

const WRITER = fileURLToPath(new URL('./writer.ts', import.meta.url));
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const ROUNDS = 8;

test('killed while it appends and writes snapshots: the log opens, with all that was acknowledged', async (t) => {
  const path = join((await temporaryData(t)).root, 'bans.log');
  let promised = -1;
  for (let round = 0; round < ROUNDS; round += 1) {
    const child = spawn(process.execPath, [...FLAGS, WRITER, path, `${promised + 1}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    const wanted = 15 + round * 3;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.split('\n').length > wanted) child.kill('SIGKILL');
    });
    await once(child, 'close');
    promised = Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1));
    const disk = new DecisionsOnDisk(path);
    const { set } = await disk.current();
    const whole = new Kept();
    for (const line of (await readFile(path, 'utf8')).split('\n')) whole.add(line);
    const epochs = (kept: Kept) => kept.set.decided.entries.map(({ id }) => id).sort();
    t.deepEqual(epochs(await disk.current()), epochs(whole));
    t.is(disk.unused, null, 'the last snapshot is a whole one');
    const epoch = promised + 1;
    t.true((set.decided.record(`k${promised % 10}`)?.epoch ?? 0) >= epoch);
  }
});

test('what a server that was killed had begun to write is not read, and goes', async (t) => {
  const path = join((await temporaryData(t)).root, 'bans.log');
  const journal = new DecisionJournal(path);
  const by = { actor: 'operator:ann', reason: 'test', at: 1 };
  await journal.append([sealDenial({ kind: 'denial', ...by, request: 'r' })]);
  const [old, young] = ['aa', 'bb'].map((name) => `${path}.snapshot.${name}.tmp`) as [string, string];
  for (const file of [old, young]) await writeFile(file, 'half');
  const before = new Date(Date.now() - 2 * 3600_000);
  await utimes(old, before, before);
  t.is((await new DecisionsOnDisk(path).current()).entries.length, 1);
  await journal.snapshot(null);
  const names = [path, `${path}.snapshot`, young].map((file) => basename(file));
  t.deepEqual((await readdir(dirname(path))).sort(), names.sort());
});

test('a disk that is full: no snapshot, nothing left of one, and the log is whole', async (t) => {
  // A tmpfs of its own, in a mount namespace that goes with the process.
  const program = `
    const { DecisionJournal } = await import(${JSON.stringify(new URL('../../../../orchestrator/fleet/decisions/journal.ts', import.meta.url))});
    const { DecisionsOnDisk } = await import(${JSON.stringify(new URL('../../../../orchestrator/fleet/decisions/on-disk.ts', import.meta.url))});
    const { sealDenial } = await import(${JSON.stringify(new URL('../../../../orchestrator/fleet/decisions/entry.ts', import.meta.url))});
    const { readdir, rm, writeFile } = await import('node:fs/promises');
    const journal = new DecisionJournal('/mnt/bans.log');
    const denial = (n) => sealDenial({ kind: 'denial', at: n, actor: 'a', reason: 'x'.repeat(1000), request: String(n) });
    await journal.append(Array.from({ length: 30 }, (_, n) => denial(n)));
    await journal.snapshot(null);
    await journal.append(Array.from({ length: 10 }, (_, n) => denial(30 + n)));
    await writeFile('/mnt/filler', Buffer.alloc(1 << 20)).catch(() => {});
    const code = await journal.snapshot(null).then(() => 'none', (error) => error.code);
    const files = (await readdir('/mnt')).sort();
    const again = new DecisionsOnDisk('/mnt/bans.log');
    const entries = (await again.current()).entries.length;
    await rm('/mnt/filler');
    await journal.append([denial(40)]);
    await journal.snapshot(null);
    const last = new DecisionsOnDisk('/mnt/bans.log');
    console.log(JSON.stringify({ code, files, entries, unused: again.unused, later: (await last.current()).entries.length, since: last.since }));`;
  const script = 'mount -t tmpfs -o size=128k none /mnt && exec "$0" --input-type=module -e "$1"';
  const { stdout, stderr } = await run('unshare', ['-m', 'sh', '-c', script, process.execPath, program]);
  const last = stdout.trim().split('\n').at(-1) ?? '';
  t.deepEqual(last === '' ? stderr : JSON.parse(last), {
    ...{ code: 'ENOSPC', files: ['bans.log', 'bans.log.snapshot', 'filler'] },
    ...{ entries: 40, unused: null, later: 41, since: 0 },
  });
});
