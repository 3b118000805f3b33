import type { Command } from 'commander';
import * as template from '../../orchestrator/operations/template/declared.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf, textOf } from '../option.ts';

export function register(group: Command): void {
  const noun = group
    .command('template')
    .description('specs without a version, which the fleet keeps for all');

  commandFor(noun, template.set, '<name> <file>').action(
    async (name: string, file: string, { json }: Json, command: Command) => {
      const text = await specIn(file, 'the template was not kept');
      const kept = await call(command, template.set, { name, text });
      print(
        json,
        kept,
        () =>
          `template ${name} is kept; roll out with it: bootwave rollout plan --template ${name} --image VERSION`,
      );
    },
  );

  commandFor(noun, template.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, template.list, {});
    print(json, all, () =>
      all.length === 0
        ? `no template yet; 'bootwave rollout template set NAME SPEC.json' keeps one`
        : table(
            ['NAME', 'SET (UTC)', 'BY'],
            all.map(({ name, at, by }) => [name, minuteOf(at), by]),
          ),
    );
  });

  commandFor(noun, template.show, '<name>').action(async (name: string, { json }: Json, command: Command) => {
    const one = await call(command, template.show, { name });
    print(json, one, () => one.text.trimEnd());
  });

  commandFor(noun, template.remove, '<name>').action(
    async (name: string, { json }: Json, command: Command) => {
      const gone = await call(command, template.remove, { name });
      print(json, gone, () => `template ${name} is removed`);
    },
  );
}

/** @throws BootwaveError `ROLLOUT_SPEC_FILE` */
export const specIn = (file: string, unchanged = 'nothing was started'): Promise<string> =>
  textOf(file, { code: 'ROLLOUT_SPEC_FILE', what: 'the spec cannot be read', unchanged });
