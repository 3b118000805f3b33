import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLogger } from '../../../base/log.ts';
import { startHttp } from '../../../bootserver/http/server.ts';
import { pattern, sha256 } from './fixture.ts';

const BYTES = pattern(300_000, 9);
const DIGEST = sha256(BYTES);

async function served(t: import('ava').ExecutionContext, hasBundles = true) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-bundles-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const bundles = join(folder, 'bundles');
  await mkdir(bundles);
  await writeFile(join(bundles, DIGEST), BYTES);
  const server = await startHttp({
    listen: { host: '127.0.0.1', port: 0 },
    ...{
      images: folder,
      loaders: folder,
      script: async () => undefined,
      log: createLogger('test', 'silent'),
    },
    ...(hasBundles && { bundles }),
  });
  t.teardown(() => server.stop());
  return { bundles, url: `http://127.0.0.1:${server.port}/bundles` };
}

const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());

test('a bundle arrives whole, in ranges, and not again if it is known', async (t) => {
  const { url } = await served(t);
  const whole = await fetch(`${url}/${DIGEST}`);
  t.is(whole.status, 200);
  t.is(whole.headers.get('etag'), `"${DIGEST}"`);
  t.deepEqual(await bytesOf(whole), BYTES);
  const rest = await fetch(`${url}/${DIGEST}`, { headers: { range: 'bytes=200001-' } });
  t.is(rest.status, 206);
  t.deepEqual(await bytesOf(rest), BYTES.subarray(200_001));
  const known = await fetch(`${url}/${DIGEST}`, { headers: { 'if-none-match': `"${DIGEST}"` } });
  t.is(known.status, 304);
  const head = await fetch(`${url}/${DIGEST}`, { method: 'HEAD' });
  t.is(head.headers.get('content-length'), String(BYTES.length));
});

test('only what is in the store and is a file is served', async (t) => {
  const { url, bundles } = await served(t);
  const other = '0'.repeat(64);
  await symlink('/etc/passwd', join(bundles, other));
  await mkdir(join(bundles, '1'.repeat(64)));
  await writeFile(join(bundles, '.making-1-x'), 'x');
  for (const path of [
    other,
    '1'.repeat(64),
    '2'.repeat(64),
    '.making-1-x',
    DIGEST.toUpperCase(),
    `..%2f${DIGEST}`,
    '',
  ])
    t.is((await fetch(`${url}/${path}`)).status, 404, path);
  const { error } = (await (await fetch(`${url}/${other}`)).json()) as { error: { code: string } };
  t.is(error.code, 'BUNDLE_ABSENT');
  t.is((await fetch(`${(await served(t, false)).url}/${DIGEST}`)).status, 404, 'a server without a store');
});

test('a bundle that is withdrawn while it is read is read to its end', async (t) => {
  const { url, bundles } = await served(t);
  const response = await fetch(`${url}/${DIGEST}`);
  await rm(join(bundles, DIGEST));
  t.deepEqual(await bytesOf(response), BYTES);
  t.is((await fetch(`${url}/${DIGEST}`)).status, 404);
});
