import type { Command } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { demo } from '../demo/demo.ts';
import { View } from '../demo/view.ts';
import { overview } from '../fleet/overview.ts';
import { listText } from './node-text.ts';

export function register(program: Command): void {
  program
    .command('demo')
    .description('the main job from nothing, in a lab of three virtual machines; nothing is left behind')
    .action(async () => {
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
      const view = new View();
      const { seconds } = await demo(view, stop.signal, async (fleet) => {
        const now = Date.now();
        view.bars([]);
        view.print(`\n${listText(await overview(fleet, {}, now), now)}\n`);
      }).catch((error: unknown) => {
        throw stop.signal.aborted ? stopped() : error;
      });
      console.log(`Three machines, three ways in, all healthy, in ${seconds} s. Nothing is left running.`);
    });
}

function stopped(): BootwaveError {
  return new BootwaveError({
    code: 'DEMO_STOPPED',
    what: 'the demo was stopped before its end',
    unchanged: 'nothing is left running',
    next: "start it again: 'make demo'",
  });
}
