import type { Command } from 'commander';
import type { FirmwareView } from '../../orchestrator/fleet/firmware/overview.ts';
import * as firmware from '../../orchestrator/operations/firmware/declared.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf } from '../option.ts';

type Why = Json & { reason: string };

export function register(group: Command): void {
  commandFor(group, firmware.list).action(async ({ json }: Json, command: Command) => {
    const views = await call(command, firmware.list, {});
    print(json, views, () => firmwareText(views));
  });

  commandFor(group, firmware.accept, '<node>')
    .option('--shows <digits>', 'only when its PCR 0 begins so: what you have read is what you accept')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (node: string, { json, shows, reason }: Why & { shows?: string }, command: Command) => {
      const done = await call(command, firmware.accept, { node, shows, reason });
      print(json, done, () =>
        harmless(
          `PCR 0 ${done.value.pcr0} is known of model ${done.model}${done.fresh ? '; its nodes are well when they attest next' : ' already'}`,
        ),
      );
    });

  commandFor(group, firmware.forget, '<pcr0>')
    .option('--model <model>', 'of this model, where several have it')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (pcr0: string, { json, model, reason }: Why & { model?: string }, command: Command) => {
      const gone = await call(command, firmware.forget, { pcr0, model, reason });
      print(json, gone, () =>
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

const dateOf = ({ at }: { at: number }) => minuteOf(at);
const wordOf = ({ by, reason }: { by: string; reason: string }) => `${by}: ${reason}`;
