import { type Command, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { demo } from '../../lab/demo/demo.ts';
import { ACTS, type Act } from '../../lab/demo/forecast.ts';
import { View } from '../../lab/demo/view.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { overview } from '../../orchestrator/fleet/overview.ts';
import { listText } from '../node/text.ts';

export function register(command: Command): void {
  command
    .addOption(
      new Option(
        '--act <act>',
        'boot: until three machines are healthy; rollout and service: go on from there',
      ).choices(ACTS),
    )
    .action(async ({ act }: { act?: Act }) => {
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
      const view = new View();
      const show = async (fleet: Fleet) => {
        const now = Date.now();
        view.bars([]);
        view.print(`\n${listText(await overview(fleet, {}, now), now)}\n`);
      };
      const { seconds } = await demo(view, stop.signal, show, act ?? 'all').catch((error: unknown) => {
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
