import type { Command } from 'commander';
import type { Lab } from '../../lab/lab.ts';
import { saveLab } from '../../lab/save.ts';
import { forgetSaved, listSaved, savedFolder } from '../../lab/saved.ts';
import { print, table } from '../context.ts';

export type Which = { name?: string; folder?: string; json?: boolean };

/**
 * `lab save`, `lab saved`, `lab forget`.
 * @param command makes one that is about a lab
 */
export function registerSaved(
  lab: Command,
  command: (name: string, description: string) => Command,
  open: (options: Which) => Promise<Lab>,
): void {
  command(
    'save',
    'keep a lab as it is now: machines, TPMs, disks, server data; it runs on after some seconds',
  )
    .argument('<saved>', 'name to keep it under, for lab up --from')
    .option('--replace', 'in place of what was kept under this name')
    .action(async (saved: string, options: Which & { replace?: boolean }) => {
      const lab = await open(options);
      const folder = savedFolder(saved);
      // An interruption in the middle would leave paused machines: it is done in seconds.
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {});
      const { nodes } = await saveLab(lab, folder, { replace: options.replace === true });
      print(
        options.json,
        { saved, lab: lab.name, folder, nodes: nodes.map(({ name }) => name) },
        () => `Lab ${lab.name} is kept as ${saved}; 'bootwave lab up --from ${saved}' goes on from here.`,
      );
    });

  lab
    .command('saved')
    .description('what lab save kept')
    .option('--json', 'for programs')
    .action(async (options: Which) => {
      const all = await listSaved();
      const rows = all.map(({ name, at, nodes, bytes, unfit }) => [
        name,
        new Date(at).toISOString(),
        nodes.join(' '),
        `${Math.round(bytes / 1e6)}`,
        unfit ?? 'yes',
      ]);
      print(options.json, all, () =>
        rows.length === 0 ? 'No lab was saved.' : table(['SAVED', 'AT', 'NODES', 'MB', 'USABLE'], rows),
      );
    });

  lab
    .command('forget')
    .description('remove what lab save kept')
    .argument('<saved>')
    .option('--json', 'for programs')
    .action(async (saved: string, options: Which) => {
      await forgetSaved(saved);
      print(options.json, { forgot: saved }, () => `${saved} is gone.`);
    });
}
