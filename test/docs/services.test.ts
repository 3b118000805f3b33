/** docs/services.md, followed by somebody who types what it says. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../base/paths.ts';
import { mustRun } from '../../base/run.ts';
import { folder, layout, tarOf } from '../image/services/oci.ts';
import { keysIn } from '../support/keys.ts';
import { commandsOf, pageAt, REPOSITORY } from './pages.ts';

test('a stranger publishes a first service, as the core team and as a team', async (t) => {
  t.timeout(10 * 60_000);
  const page = await pageAt('docs/services.md');
  const paths = dataPaths(join(await folder(t), 'data'));
  await keysIn(paths.keys);
  const home = await folder(t);
  const layers = [tarOf([{ name: 'bin/shop', content: '#!/bin/sh', mode: 0o755 }])];
  const oci = await layout(t, { layers, config: { Entrypoint: ['/bin/shop'] } });
  await mustRun('tar', ['-C', oci, '-cf', join(home, 'shop.tar'), '.']);
  await writeFile(join(home, 'shop.yaml'), page.blocks.find(({ language }) => language === 'yaml')!.text);
  const said: string[] = [];
  for (const line of commandsOf(page)) {
    const { stdout } = await mustRun(
      'bash',
      ['-c', line.replace(/^bootwave/, join(REPOSITORY, 'bin/bootwave'))],
      {
        cwd: home,
        env: { ...process.env, BOOTWAVE_DATA: paths.root, BOOTWAVE_REDIS_URL: '' },
      },
    );
    said.push(`${line}\n${stdout}`);
  }
  const after = (start: string) => said.find((one) => one.startsWith(start)) ?? '';
  t.regex(after('bootwave service publish'), /shop:1\.4 is released/);
  t.regex(after('bootwave service list'), /shop +1\.4 +current +1 +fleet +0/);
  t.regex(after('bootwave service inspect'), /root hash +[0-9a-f]{64}[\s\S]*"memory": 134217728/);
  t.regex(after('bootwave team release'), /web\/shop:1\.4 is released/);
  t.regex(
    after('bootwave team publish web release-2.json'),
    /web has released services\/web\/shop_1\.4, services\/web\/shop_1\.5$/m,
  );
  t.is((await readFile(join(home, 'shop-1.5.bundle'))).length % 4096, 0);
  // Where the page says that the server keeps what a team released last.
  const { stdout: teams } = await mustRun(join(REPOSITORY, 'bin/bootwave'), ['team', 'list', '--json'], {
    env: { ...process.env, BOOTWAVE_DATA: paths.root, BOOTWAVE_REDIS_URL: '' },
  });
  const [{ version }] = JSON.parse(teams) as [{ version: number }];
  t.deepEqual(
    await readFile(join(paths.releases, 'metadata', `${version}.web.json`)),
    await readFile(join(home, 'release-2.json')),
  );
});
