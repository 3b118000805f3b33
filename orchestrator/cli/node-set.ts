import { type Command, InvalidArgumentError, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import type { NodeChange } from '../fleet/events/set.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { LABEL_NAME, LABEL_VALUE, MODES, type NodeRecord } from '../fleet/record.ts';
import { type SetNodes, setMany } from '../fleet/set.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { signerFiles } from '../signer/files.ts';
import { wantAloud } from '../signer/wish.ts';
import { confirm } from './confirm.ts';
import { harmless, pathsOf, print, table } from './context.ts';
import { operator } from './operator.ts';

type How = ReturnType<typeof wantAloud>;
type Labels = Record<string, string | null>;
type Options = {
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
  json?: boolean;
};

export function register(node: Command): void {
  node
    .command('set [nodes...]')
    .description('what is wanted of nodes (or of all of a site) and what rollouts may select them by')
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
    .option('--json')
    .action(async (words: string[], options: Options, command: Command) => {
      const { mode, wipe, rack, role, label, unlabel, move: site } = options;
      const labels = label === undefined && unlabel === undefined ? undefined : { ...label, ...unlabel };
      const change: NodeChange = { mode, wipe, rack: given(rack), role: given(role), labels, site };
      refuseUnclear(words, options, change);
      const paths = pathsOf(command);
      const how = wantAloud(signerFiles(paths).words);
      await withFleet(paths, async (fleet) => {
        if (options.site !== undefined) return all(fleet, options.site, change, options, how);
        const nodes = await Promise.all(words.map((word) => fleet.nodes.resolve(word)));
        const [only] = nodes;
        if (only !== undefined && nodes.length === 1) return one(fleet, only, change, options, how);
        await several(fleet, nodes, change, options, how);
      });
    });
}

function refuseUnclear(words: readonly string[], options: Options, change: NodeChange): void {
  const { site, all, yes } = options;
  const invalid = (what: string, next: string) =>
    new BootwaveError({ code: 'SET_INVALID', what, unchanged: 'nothing was changed', next });
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

async function one(
  fleet: Fleet,
  { id, wanted }: NodeRecord,
  change: NodeChange,
  options: Options,
  how: How,
): Promise<void> {
  const { record, changed } = await how(fleet, id, change, operator());
  print(options.json, record, () =>
    [
      harmless(`${record.name}: ${wishText(record)}${changed ? '' : ' (as before)'}`),
      ...(changed && wanted.mode !== record.wanted.mode ? [MEANS[record.wanted.mode]] : []),
    ].join('\n'),
  );
}

const MEANS = {
  installed: `'bootwave up' now brings the image onto its disk and has it restart from there`,
  netboot:
    'it runs on as it is; at its next restart the boot server hands it the image; its disk is left as it is',
} as const;

async function all(
  fleet: Fleet,
  site: string,
  change: NodeChange,
  options: Options,
  how: How,
): Promise<void> {
  await fleet.sites.get(site);
  const found = await fleet.nodes.getMany(await fleet.nodes.ids({ site }));
  const nodes = found
    .filter(({ state }) => state !== 'retired' && state !== 'rejected')
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  await confirm(`Set ${changeText(change)} for ${nodes.length} nodes of site ${site}?`, options.yes);
  await several(fleet, nodes, change, options, how);
}

async function several(
  fleet: Fleet,
  nodes: readonly NodeRecord[],
  change: NodeChange,
  options: Options,
  how: How,
): Promise<void> {
  const result = await setMany(fleet, nodes, change, operator(), how);
  // What was asked for is not true of all of them.
  if (result.refused.length > 0) process.exitCode = 1;
  const { mode } = change;
  const isMoved = mode !== undefined && nodes.some(({ wanted }) => wanted.mode !== mode);
  print(options.json, result, () => [manyText(result), ...(isMoved ? [MEANS[mode]] : [])].join('\n'));
}

function manyText({ changed, same, refused }: SetNodes): string {
  const lines = [`${changed.length} changed, ${same.length} as before, ${refused.length} refused`];
  if (refused.length > 0) {
    const rows = refused.map(({ name, code, what }) => [name, code, what]);
    lines.push('', table(['REFUSED', 'CODE', 'WHY'], rows));
  }
  return lines.join('\n');
}

function changeText({ mode, wipe, rack, role, labels }: NodeChange): string {
  const word = (what: string, value: string | null | undefined) =>
    value === undefined ? [] : [value === null ? `no ${what}` : `${what} ${value}`];
  return [
    ...word('mode', mode),
    ...(wipe === true ? ['WIPE THE DISK'] : []),
    ...word('rack', rack),
    ...word('role', role),
    ...Object.entries(labels ?? {}).flatMap(([name, value]) => word(`label ${name}`, value)),
  ].join(', ');
}

/** Mode, rack, role and labels as one line. */
export function wishText({ wanted, rack, role, labels }: NodeRecord): string {
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

function given(text: string | undefined): string | null | undefined {
  return text === '' ? null : text;
}

function place(text: string): string {
  if (text !== '' && !LABEL_VALUE.test(text)) {
    throw new InvalidArgumentError('1 to 63 letters, digits and . _ - in between; empty to take it away');
  }
  return text;
}
