/** The commands as people run them: real processes on a real data directory. */
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../../base/run.ts';
import { temporaryData } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';

test('an operator adds a TPM maker and sees it; what is no CA is refused', async (t) => {
  const { root, keys } = await temporaryData(t);
  const program = join(import.meta.dirname, '../../../bin/bootwave');
  const roots = (...args: string[]) => run(program, ['--data', root, 'keys', 'tpm-roots', ...args]);
  await keysIn(join(root, 'maker'), 'theirs');
  const file = join(root, 'maker/ca/root.crt');
  const { fingerprint256 } = new X509Certificate(await readFile(file));
  const fingerprint = fingerprint256.replaceAll(':', '').toLowerCase();

  const added = await roots('add', file);
  t.is(added.code, 0, added.stderr);
  t.true(added.stdout.includes(fingerprint.slice(0, 16)));
  const listed = await roots('list', '--json');
  const [first, ...others] = JSON.parse(listed.stdout) as { file: string; fingerprint: string }[];
  t.is(first?.fingerprint, fingerprint);
  t.deepEqual(others, []);
  t.deepEqual(
    new X509Certificate(await readFile(join(keys, 'tpm-roots', first!.file))).fingerprint256,
    fingerprint256,
  );

  await writeFile(join(root, 'no'), 'no');
  for (const bad of [join(root, 'no'), join(root, 'absent')]) {
    const { code, stderr } = await roots('add', bad);
    t.not(code, 0);
    t.regex(stderr, /TPM_ROOT_INVALID/);
  }
  t.is(JSON.parse((await roots('list', '--json')).stdout).length, 1);
});
