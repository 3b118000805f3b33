import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { program } from '../../../cli/program.ts';
import { CONFIG_KEYS, listConfigs, publishConfig, readConfig } from '../../../orchestrator/config/store.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { redisFor } from '../fleet/support.ts';
import { doorOf } from '../operations/support.ts';

const ANN = { actor: 'operator:ann', at: 5 };

test('a version is published once: the same again is welcome, another content is refused', async (t) => {
  const { redis } = await redisFor(t);
  const one = await publishConfig(redis, '{"labels":{"b":"2","a":"1"}}', '1.0', ANN);
  const again = await publishConfig(redis, ' {"labels": {"a": "1", "b": "2"}, "ntp": []} ', '1.0', {
    actor: 'operator:bob',
    at: 9,
  });
  t.deepEqual(again, one, 'order and white space make no other document');
  await t.throwsAsync(publishConfig(redis, '{"labels":{"a":"1"}}', '1.0', ANN), {
    code: 'CONFIG_VERSION_EXISTS',
  });
  t.deepEqual(await readConfig(redis, '1.0'), one);
  await publishConfig(redis, '{}', '1.10', ANN);
  await publishConfig(redis, '{}', '1.9', ANN);
  t.deepEqual(
    (await listConfigs(redis)).map(({ version }) => version),
    ['1.10', '1.9', '1.0'],
  );
  const audit = await new Fleet(redis).audit.read();
  t.deepEqual(
    audit.map(({ actor, action, detail }) => [actor, action, detail?.version]),
    ['1.0', '1.10', '1.9'].map((version) => ['operator:ann', 'publish-config', version]),
  );
});

test('what is no configuration is never published', async (t) => {
  const { redis } = await redisFor(t);
  for (const text of ['', '[]', '{"sysctls":{"kernel.modprobe":"/x"}}', '{"format":1}', 'x'.repeat(2 ** 21)])
    await t.throwsAsync(publishConfig(redis, text, '1.0', ANN), { code: 'CONFIG_MALFORMED' });
  await t.throwsAsync(publishConfig(redis, '{}', 'No Version', ANN), { code: 'CONFIG_MALFORMED' });
  t.deepEqual(await listConfigs(redis), []);
  await t.throwsAsync(readConfig(redis, '1.0'), { code: 'CONFIG_UNKNOWN' });
});

test('a record that somebody has written to is not delivered', async (t) => {
  const { redis } = await redisFor(t);
  const one = await publishConfig(redis, '{}', '1.0', ANN);
  const changed = { ...one, document: one.document.replace('"dns":[]', '"dns":["6.6.6.6"]') };
  await redis.hset(CONFIG_KEYS.config('1.0'), 'body', JSON.stringify(changed));
  await t.throwsAsync(readConfig(redis, '1.0'), { code: 'CONFIG_DAMAGED' });
});

test.serial('the commands: publish, list, show, and a plan that names it', async (t) => {
  const { paths } = await redisFor(t);
  await doorOf(t, paths);
  const before = { log: console.log, url: process.env.BOOTWAVE_REDIS_URL };
  let out = '';
  console.log = (text: string) => {
    out += `${text}\n`;
  };
  process.env.BOOTWAVE_REDIS_URL = '';
  t.teardown(() => {
    console.log = before.log;
    if (before.url === undefined) delete process.env.BOOTWAVE_REDIS_URL;
    else process.env.BOOTWAVE_REDIS_URL = before.url;
  });
  const bootwave = async (...args: string[]) => {
    out = '';
    const words = ['--data', paths.root, ...args];
    await (await program(words)).parseAsync(words, { from: 'user' });
    return out;
  };
  const folder = join(paths.root, 'specs');
  await mkdir(folder);
  const file = join(folder, 'config.json');
  const spec = join(folder, 'spec.json');
  await writeFile(file, '{"sysctls":{"vm.swappiness":10},"ntp":["ntp.example.org"]}');
  await writeFile(spec, '{"config":"2026.1","nodes":{"all":true}}');

  t.regex(await bootwave('config', 'list'), /no configuration yet/);
  t.regex(await bootwave('config', 'publish', file, '--version', '2026.1'), /2026\.1 is published/);
  t.regex(await bootwave('config', 'list'), /^2026\.1 .*operator:/m);
  t.regex(await bootwave('config', 'show', '2026.1'), /^sysctl +vm\.swappiness +10$/m);
  const shown = JSON.parse(await bootwave('config', 'show', '2026.1', '--json'));
  t.like(shown, { version: '2026.1', document: { ntp: ['ntp.example.org'], labels: {} } });

  const refused = await t.throwsAsync(bootwave('rollout', 'plan', spec), { instanceOf: BootwaveError });
  t.regex(refused?.what ?? '', /selects no node/, 'there is none; the configuration is known');
  t.notRegex(refused?.what ?? '', /not published/);
  await t.throwsAsync(bootwave('config', 'publish', join(folder, 'none.json'), '--version', '1'), {
    code: 'CONFIG_FILE',
  });
});
