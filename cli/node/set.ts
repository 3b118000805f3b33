import { type Command, InvalidArgumentError, Option } from 'commander';
import { refusal } from '../../base/error.ts';
import type { NodeChange } from '../../orchestrator/fleet/events/set.ts';
import { LABEL_NAME, LABEL_VALUE, MODES, type NodeRecord } from '../../orchestrator/fleet/record.ts';
import type { SetNodes } from '../../orchestrator/fleet/set.ts';
import * as node from '../../orchestrator/operations/node/declared.ts';
import { confirm } from '../confirm.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

type Labels = Record<string, string | null>;
type Options = Json & {
  mode?: (typeof MODES)[number];
  wipe?: true;
  rack?: string;
  role?: string;
  label?: Labels;
  unlabel?: Labels;
  site?: string;
  move?: string;
  all?: true;
  yes?: true;
};

export function register(group: Command): void {
  commandFor(group, node.set, '[nodes...]')
    .addOption(new Option('--mode <mode>', 'boot from the network, or run from its own disk').choices(MODES))
    .option('--wipe', 'with mode installed: data that others left on its disk may go, once')
    .option('--label <name=value>', 'may be given several times; an empty value takes it away', label)
    .option('--unlabel <name>', 'takes a label away, may be given several times', unlabel)
    .option('--rack <rack>', 'where it stands within its site; empty: not known', place)
    .option('--role <role>', 'what it is for; empty: nothing in particular', place)
    .option('--move <site>', 'it stands at this site from now on, under its rules')
    .option('--site <site>', 'every node of this site, with --all or --yes')
    .option('--all', 'all nodes of --site, after a question')
    .option('--yes', 'do not ask')
    .action(async (words: string[], options: Options, command: Command) => {
      const { mode, wipe, rack, role, label, unlabel, move: site } = options;
      const labels = label === undefined && unlabel === undefined ? undefined : { ...label, ...unlabel };
      const change: NodeChange = { mode, wipe, rack: emptied(rack), role: emptied(role), labels, site };
      refuseUnclear(words, options, change);
      const nodes = options.site === undefined ? words : await all(command, options.site, change, options);
      const done = await call(command, node.set, { nodes, change });
      // The request could not be done for all of them.
      if (done.refused.length > 0) process.exitCode = 1;
      const { record, moved, ...many } = done;
      const means = moved && mode !== undefined ? [MEANS[mode]] : [];
      if (record === null) print(options.json, many, () => [manyText(many), ...means].join('\n'));
      else
        print(options.json, record, () =>
          [
            harmless(`${record.name}: ${wishText(record)}${done.changed.length > 0 ? '' : ' (as before)'}`),
            ...means,
          ].join('\n'),
        );
    });
}

/** @throws BootwaveError `SET_INVALID` */
function refuseUnclear(words: readonly string[], options: Options, change: NodeChange): void {
  const { site, all, yes } = options;
  const invalid = (what: string, next: string) => refusal('SET_INVALID', what, next);
  const isSite = site !== undefined && (all === true || yes === true);
  if ((words.length === 0) !== isSite || (words.length > 0 && (site ?? all) !== undefined)) {
    throw invalid('which node is meant is not clear', 'give nodes, or --site NAME together with --all');
  }
  if (Object.values(change).every((value) => value === undefined)) {
    throw invalid(
      'nothing says what is to be set',
      'give --mode, --label, --unlabel, --rack, --role or --move',
    );
  }
}

const MEANS = {
  installed: `'bootwave up' now brings the image onto its disk and has it restart from there`,
  netboot:
    'it runs on as it is; at its next restart the boot server hands it the image; its disk is left as it is',
} as const;

/** Those whose number a person has seen, by their ids: nodes that come to the site meanwhile were not meant. */
async function all(command: Command, site: string, change: NodeChange, { yes }: Options): Promise<string[]> {
  const nodes = await call(command, node.setSelect, { site });
  await confirm(`Set ${changeText(change)} for ${nodes.length} nodes of site ${site}?`, yes);
  return nodes.map(({ id }) => id);
}

function manyText({ changed, same, refused }: SetNodes): string {
  const lines = [`${changed.length} changed, ${same.length} as before, ${refused.length} refused`];
  if (refused.length > 0) {
    const rows = refused.map(({ name, code, what }) => [name, code, what]);
    lines.push('', table(['REFUSED', 'CODE', 'WHY'], rows));
  }
  return lines.join('\n');
}

function changeText({ mode, wipe, rack, role, labels, site }: NodeChange): string {
  const word = (what: string, value: string | null | undefined) =>
    value === undefined ? [] : [value === null ? `no ${what}` : `${what} ${value}`];
  return [
    ...word('mode', mode),
    ...(wipe === true ? ['WIPE THE DISK'] : []),
    ...word('rack', rack),
    ...word('role', role),
    ...word('site', site),
    ...Object.entries(labels ?? {}).flatMap(([name, value]) => word(`label ${name}`, value)),
  ].join(', ');
}

/** Mode, rack, role and labels as one line. */
function wishText({ wanted, rack, role, labels }: NodeRecord): string {
  return [
    `mode ${wanted.mode}${wanted.wipe ? ', may wipe its disk' : ''}`,
    ...(rack === null ? [] : [`rack ${rack}`]),
    ...(role === null ? [] : [`role ${role}`]),
    ...(Object.keys(labels).length === 0 ? [] : [`labels ${labelsText(labels)}`]),
  ].join(', ');
}

export function labelsText(labels: NodeRecord['labels']): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

function unlabel(text: string, before: Labels = {}): Labels {
  if (!LABEL_NAME.test(text)) throw new InvalidArgumentError('the name of a label');
  return { ...before, [text]: null };
}

function label(text: string, before: Labels = {}): Labels {
  const at = text.indexOf('=');
  const [name, value] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 0 || !LABEL_NAME.test(name)) {
    throw new InvalidArgumentError(
      'name=value; a name has lower-case letters, digits and _, and begins with a letter',
    );
  }
  if (value !== '' && !LABEL_VALUE.test(value)) {
    throw new InvalidArgumentError('a value has 1 to 63 letters, digits and . _ - in between');
  }
  return { ...before, [name]: value === '' ? null : value };
}

function emptied(text: string | undefined): string | null | undefined {
  return text === '' ? null : text;
}

function place(text: string): string {
  if (text !== '' && !LABEL_VALUE.test(text)) {
    throw new InvalidArgumentError('1 to 63 letters, digits and . _ - in between; empty to take it away');
  }
  return text;
}
