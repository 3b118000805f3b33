import { resolve } from 'node:path';
import type { Command } from 'commander';
import * as bootserver from '../../orchestrator/operations/bootserver/declared.ts';
import { harmless, print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

/** Where the configuration file is looked for by default. */
const CONFIG_FILE = '/etc/bootwave/bootserver.yaml';

/** `config` is the noun for the configuration of nodes; this is the server's own. */
export function register(group: Command): void {
  commandFor(group, bootserver.check, '[file]').action(
    async (file: string | undefined, { json }: Json, command: Command) => {
      const done = await call(command, bootserver.check, { file: resolve(file ?? CONFIG_FILE) });
      print(json, done, () => harmless(`${done.file} is right; it serves ${done.interfaces.join(', ')}`));
    },
  );

  commandFor(group, bootserver.reload).action(async ({ json }: Json, command: Command) => {
    const done = await call(command, bootserver.reload, {});
    print(json, done, () => 'the configuration was read again');
  });

  commandFor(group, bootserver.deaf).action(async ({ json }: Json, command: Command) => {
    const deaf = await call(command, bootserver.deaf, {});
    print(json, deaf, () =>
      deaf.length === 0
        ? 'it hears on every interface that it serves'
        : deaf.map((one) => harmless(`${one.interface}: ${one.why}`)).join('\n'),
    );
  });
}
