import type { Command } from 'commander';
import { type FirmwareView, firmwareOverview } from '../../orchestrator/fleet/firmware/overview.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { harmless, pathsOf, print, table } from '../context.ts';
import { operator } from '../operator/operator.ts';

type Json = { json?: boolean };
type Why = Json & { reason: string };

export function register(program: Command): void {
  const firmware = program
    .command('firmware')
    .description('the firmware that each model of machine may show');

  firmware
    .command('list')
    .description('what is known of each model, what is only shown, and how many nodes show it now')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const views = await withFleet(pathsOf(command), firmwareOverview);
      print(options.json, views, () => firmwareText(views));
    });

  firmware
    .command('accept <node>')
    .description(
      'what this node (name, MAC, serial number or id) shows is right for its model, on every node',
    )
    .option('--shows <digits>', 'only when its PCR 0 begins so: what you have read is what you accept')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .option('--json')
    .action(async (word: string, options: Why & { shows?: string }, command: Command) => {
      const { shows: pcr0, reason } = options;
      const done = await withFleet(pathsOf(command), async (fleet) =>
        fleet.firmware.accept(await fleet.nodes.resolve(word), { reason, pcr0 }, operator()),
      );
      print(options.json, done, () =>
        harmless(
          `PCR 0 ${done.value.pcr0} is known of model ${done.model}${done.fresh ? '; its nodes are well when they attest next' : ' already'}`,
        ),
      );
    });

  firmware
    .command('forget <pcr0>')
    .description('take a value (PCR 0 or its first digits) back: who shows it is strange from now on')
    .option('--model <model>', 'of this model, where several have it')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .option('--json')
    .action(async (digits: string, options: Why & { model?: string }, command: Command) => {
      const { model, reason } = options;
      const gone = await withFleet(pathsOf(command), (fleet) =>
        fleet.firmware.forget(digits, model, reason, operator()),
      );
      print(options.json, gone, () =>
        harmless(
          `PCR 0 ${gone.value.pcr0} is no longer known of model ${gone.model}; only 'bootwave firmware accept' brings it back`,
        ),
      );
    });
}

export function firmwareText(views: readonly FirmwareView[]): string {
  if (views.length === 0) return 'no node with a TPM has shown its firmware yet';
  const rows = views.map(({ model, pcr0, firmware, known, nodes }) => [
    model,
    pcr0.slice(0, 16),
    `${firmware.vendor} ${firmware.version} ${firmware.date}`.trim(),
    stateOf(known),
    known === null ? '' : dateOf(known.takenBack ?? known),
    known?.name ?? nodes[0] ?? '',
    String(nodes.length),
    known === null ? '' : wordOf(known.takenBack ?? known),
  ]);
  const strange = views.find(({ known, nodes }) => known === null && nodes.length > 0);
  return [
    table(['MODEL', 'PCR 0', 'FIRMWARE', 'IS', 'SINCE', 'FIRST SHOWN BY', 'NODES', 'BY WHOM'], rows),
    ...(strange === undefined ? [] : ['', `if your own people updated it: ${acceptance(strange)}`]),
  ].join('\n');
}

function acceptance({ nodes, pcr0 }: FirmwareView): string {
  return harmless(`bootwave firmware accept ${nodes[0]} --shows ${pcr0.slice(0, 16)} --reason WHY`);
}

function stateOf(known: FirmwareView['known']): string {
  if (known === null) return 'not known';
  return known.takenBack === null ? 'known' : 'taken back';
}

const dateOf = ({ at }: { at: number }) => new Date(at).toISOString().slice(0, 16).replace('T', ' ');
const wordOf = ({ by, reason }: { by: string; reason: string }) => `${by}: ${reason}`;
