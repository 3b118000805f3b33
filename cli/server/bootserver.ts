import type { Command } from 'commander';
import { CONFIG_FILE, readConfigFile } from '../../bootserver/config-file.ts';
import { askServer } from '../../orchestrator/up/control.ts';
import { pathsOf, print } from '../context.ts';

type Json = { json?: boolean };

/** `config` is the noun of what nodes are told; this is the server's own. */
export function register(program: Command): void {
  const bootserver = program
    .command('bootserver')
    .description(`the configuration file of 'bootwave up --config'`);

  bootserver
    .command('check [file]')
    .description('read the file and name every line that is wrong; nothing is changed')
    .option('--json')
    .action(async (file: string | undefined, options: Json) => {
      const path = file ?? CONFIG_FILE;
      const interfaces = await readConfigFile(path);
      const names = interfaces.map((one) => one.interface);
      print(
        options.json,
        { file: path, interfaces: names },
        () => `${path} is right; it serves ${names.join(', ')}`,
      );
    });

  bootserver
    .command('reload')
    .description(
      'the running server reads its file again, without losing a lease; refused as a whole when it is wrong',
    )
    .option('--json')
    .action(async (options: Json, command: Command) => {
      await askServer(pathsOf(command), 'POST', '/reload');
      print(options.json, { reloaded: true }, () => 'the configuration was read again');
    });
}
