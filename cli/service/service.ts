import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ReleasedService } from '../../image/publish/services.ts';
import * as service from '../../orchestrator/operations/service/declared.ts';
import { shownServiceVersion } from '../../protocol/service/name.ts';
import { harmless, megabytes, print, table } from '../context.ts';
import { serviceLogs } from '../log/logs.ts';
import { call } from '../operate.ts';
import { commandFor, foldersOf, type Json, MEDIA, minuteOf } from '../option.ts';
import { serviceUsage as usage } from '../usage/usage.ts';
import { register as registerCapacity } from './capacity.ts';
import { registerLife, versionsTable } from './life.ts';
import { GOES_ON, MANIFEST, OCI, type Packing, packedText, packing } from './packing.ts';
import { serviceRestraints } from './restraints.ts';
import { register as registerSecrets } from './secret.ts';

/** Building blocks: what nodes run. */
export function register(group: Command): void {
  commandFor(group, service.publish, '<service>')
    .requiredOption(...OCI)
    .option(...MANIFEST)
    .option(...MEDIA)
    .action(async (name: string, options: Packing & { keys?: string[] }, command: Command) => {
      const { keys, json } = options;
      const input = { ...(await packing(name, options)), keys: foldersOf(keys) };
      const done = await call(command, service.publish, input);
      print(json, done, () => `${harmless(done.service)} is released\n\n${packedText(done)}`);
    });

  commandFor(group, service.build, '<name>')
    .option(...MEDIA)
    .action(async (name: string, { keys, json }: Json & { keys?: string[] }, command: Command) => {
      const done = await call(command, service.build, { name, keys: foldersOf(keys) });
      print(json, done, () => `${harmless(done.service)} is released\n\n${packedText(done)}`);
    });

  commandFor(group, service.pack, '<service>')
    .requiredOption(...OCI)
    .option(...MANIFEST)
    .requiredOption('--out <file>', 'the bundle; what is signed of it goes into FILE.json')
    .action(async (name: string, options: Packing & { out: string }, command: Command) => {
      const { out, json } = options;
      const input = { ...(await packing(name, options)), out: resolve(out) };
      const done = await call(command, service.pack, input);
      const next = `sign it where the team's key is: bootwave team sign ${done.target}=${out} --key KEY --out release.json`;
      print(json, done, () => `${out} is ${harmless(done.service)}\n\n${packedText(done)}\n\n${next}`);
    });

  commandFor(group, service.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, service.list, {});
    print(json, all, () =>
      all.length === 0
        ? "no service is released; 'bootwave service publish' releases one"
        : table(
            ['SERVICE', 'NEWEST', 'STATE', 'VERSIONS', 'RELEASED BY', 'NODES', 'OF AN ENDING VERSION'],
            all.map((one) => [
              one.name,
              one.newest ?? 'none is released',
              one.state ?? '',
              String(one.versions),
              one.by ?? '',
              String(one.nodes),
              String(one.ending),
            ]),
          ),
    );
  });

  commandFor(group, service.versions, '<name>').action(
    async (name: string, { json }: Json, command: Command) => {
      const all = await call(command, service.versions, { name });
      print(json, all, () => versionsTable(all));
    },
  );

  commandFor(group, service.inspect, '<service>').action(
    async (name: string, { json }: Json, command: Command) => {
      const found = await call(command, service.inspect, { service: name });
      print(json, found, () => inspectText(found));
    },
  );

  registerLife(group);
  usage(group);
  serviceLogs(group);
  serviceRestraints(group);

  commandFor(group, service.withdraw, '<service>')
    .option(...MEDIA)
    .action(async (name: string, { keys, json }: Json & { keys?: string[] }, command: Command) => {
      const done = await call(command, service.withdraw, { service: name, keys: foldersOf(keys) });
      print(json, done, () => harmless(`${done.service} is withdrawn; ${GOES_ON}`));
    });

  registerSecrets(group);
  registerCapacity(group);
}

function inspectText(found: ReleasedService): string {
  const { by, expires, size, sha256, stored, custom } = found;
  return [
    shownServiceVersion(found),
    `released by  ${harmless(by)}, until ${minuteOf(Date.parse(expires))} UTC`,
    `bundle       ${megabytes(size)}, SHA-256 ${sha256}${stored ? '' : '; it is not in the store of this server'}`,
    `root hash    ${custom.rootHash}`,
    'manifest',
    ...JSON.stringify(custom.manifest, null, 2)
      .split('\n')
      .map((line) => `  ${harmless(line)}`),
  ].join('\n');
}
