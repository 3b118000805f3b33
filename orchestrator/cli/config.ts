import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { digestOf, makeDocument } from '../../image/agent/config/schema.ts';
import { sysctlText } from '../../image/agent/config/sysctls.ts';
import { targetLine } from '../../image/agent/log-forward/target.ts';
import { contentOf, listConfigs, type PublishedConfig, publishConfig, readConfig } from '../config/store.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { readNamedFile } from '../operators/behind-sudo.ts';
import { signerFiles } from '../signer/files.ts';
import { say } from '../signer/words.ts';
import { pathsOf, print, table } from './context.ts';
import { operator } from './operator.ts';

type Json = { json?: boolean };

export function register(program: Command): void {
  const config = program
    .command('config')
    .description(`node configurations: publish them; 'rollout' applies them`);

  config
    .command('publish <file>')
    .description('give a configuration a version; it can be rolled out then, and never be changed')
    .requiredOption('--version <version>', 'a version that was never used')
    .option('--json')
    .action(async (file: string, options: Json & { version: string }, command: Command) => {
      const text = (
        await readNamedFile(file).catch((cause: unknown) => {
          throw new BootwaveError({
            code: 'CONFIG_FILE',
            what: `the configuration cannot be read: ${messageOf(cause)}`,
            unchanged: 'nothing was published',
            cause,
          });
        })
      ).toString('utf8');
      const { version } = options;
      const paths = pathsOf(command);
      const by = operator();
      const published = await withFleet(paths, (fleet) => publishConfig(fleet.redis, text, version, by));
      // Of what was read from the file: what a database answers is nobody's word.
      const sha256 = digestOf(makeDocument(JSON.parse(text), version));
      await say(signerFiles(paths).words, { say: 'config', sha256, version }, by);
      print(
        options.json,
        published,
        () =>
          `configuration ${published.version} is published (SHA-256 ${published.sha256}); ` +
          `roll it out with a spec that names it: "config": "${published.version}"`,
      );
    });

  config
    .command('list')
    .description('all published configurations, newest first')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const all = await withFleet(pathsOf(command), (fleet) => listConfigs(fleet.redis));
      print(options.json, all, () => listText(all));
    });

  config
    .command('show <version>')
    .description('what a configuration says')
    .option('--json')
    .action(async (version: string, options: Json, command: Command) => {
      const one = await withFleet(pathsOf(command), (fleet) => readConfig(fleet.redis, version));
      print(options.json, { ...one, document: contentOf(one) }, () => showText(one));
    });
}

const time = (at: number): string => new Date(at).toISOString().replace('T', ' ').slice(0, 16);

function listText(all: readonly PublishedConfig[]): string {
  if (all.length === 0) return `no configuration yet; 'bootwave config publish FILE --version 1.0' makes one`;
  return table(
    ['VERSION', 'PUBLISHED (UTC)', 'BY', 'SHA-256'],
    all.map(({ version, at, author, sha256 }) => [version, time(at), author, sha256.slice(0, 16)]),
  );
}

function showText(one: PublishedConfig): string {
  const { sysctls, ntp, dns, log, labels } = contentOf(one);
  const rows = [
    ...Object.entries(sysctls).map(([key, value]) => ['sysctl', key, sysctlText(value)]),
    ...ntp.map((server) => ['ntp', server, '']),
    ...dns.map((server) => ['dns', server, '']),
    ...(log === null ? [] : [['log', log.level, `${log.megabytes} MiB`]]),
    ...(log?.target == null ? [] : [['log', 'target', targetLine(log.target).trim()]]),
    ...Object.entries(labels).map(([name, value]) => ['label', name, value]),
  ];
  return [
    `configuration ${one.version}, published ${time(one.at)} UTC by ${one.author}`,
    `SHA-256 ${one.sha256}`,
    '',
    rows.length === 0 ? 'it changes nothing' : table(['WHAT', 'NAME', 'VALUE'], rows),
  ].join('\n');
}
