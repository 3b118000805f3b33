import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { Released } from '../../image/publish/released.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { silences } from '../fleet/listening.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import type { OperatorEvent } from '../rollout/event.ts';
import { makePlan, type Plan } from '../rollout/plan.ts';
import { ENDED } from '../rollout/record.ts';
import { planNodes, publishedFor } from '../rollout/run/facts.ts';
import { listRollouts } from '../rollout/run/list.ts';
import { create, operate } from '../rollout/run/operate.ts';
import { type ImageFacts, readState } from '../rollout/run/stored.ts';
import { parseSpec, type Refusal } from '../rollout/spec.ts';
import { pathsOf, print } from './context.ts';
import { silenceText } from './node-text.ts';
import { operator } from './operator.ts';
import { historyOf, historyText, remarkable } from './rollout-history.ts';
import { register as rules } from './rollout-rules.ts';
import { listText, planText, showText } from './rollout-text.ts';
import { watchRollout } from './rollout-watch.ts';

type Json = { json?: boolean };

/** Milliseconds between two looks of `watch`. */
const WATCH_EVERY = 1_000;

export function register(program: Command): void {
  const rollout = program.command('rollout').description('bring a version to the fleet, in waves');

  rollout
    .command('plan <spec>')
    .description('what a rollout would do: every wave, every node, what is skipped and why; moves nothing')
    .option('--json')
    .action(async (spec: string, options: Json, command: Command) => {
      const paths = pathsOf(command);
      const { plan } = await withFleet(paths, (fleet) => planned(paths, fleet, spec));
      print(options.json, plan, () => planText(plan));
    });

  rollout
    .command('start <spec>')
    .description(`plan a spec file and start it; 'bootwave up' carries it out`)
    .option('--watch', 'and follow it to its end')
    .option('--json')
    .action(async (spec: string, options: Json & { watch?: true }, command: Command) => {
      const paths = pathsOf(command);
      const after = await withFleet(paths, async (fleet) => {
        const { plan, images } = await planned(paths, fleet, spec);
        const { actor, at } = operator();
        const id = await create(fleet.redis, plan, images, { author: actor, at });
        return operate(fleet.redis, id, { type: 'start', by: actor });
      });
      print(
        options.json,
        after,
        () =>
          `${after.id} is ${after.state}${options.watch === true ? '' : `; watch it: bootwave rollout watch ${after.id}`}`,
      );
      if (options.watch === true) await follow(command, after.id, options);
    });

  rollout
    .command('list')
    .description('all rollouts, newest first')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const now = Date.now();
      const [all, silent] = await withFleet(pathsOf(command), (fleet) =>
        Promise.all([listRollouts(fleet.redis), silences(fleet, now)]),
      );
      const open = all.some(({ state }) => !ENDED.includes(state));
      const unheard = open ? silent.map((silence) => silenceText(silence, now)) : [];
      print(options.json, all, () => [listText(all), ...unheard].join('\n'));
    });

  rollout
    .command('show <rollout>')
    .description('its waves and nodes, and why each is where it is')
    .option('--json')
    .action(async (id: string, options: Json, command: Command) => {
      const state = await withFleet(pathsOf(command), (fleet) => readState(fleet.redis, id));
      const { setup, rollout: record, waves, nodes } = state;
      print(options.json, { setup, rollout: record, waves, nodes: [...nodes.values()] }, () =>
        showText(state),
      );
    });

  rollout
    .command('watch <rollout>')
    .description('follow it to its end: exit code 0 when it is done, 1 when it failed or ended otherwise')
    .option('--json', 'one JSON object a line')
    .action((id: string, options: Json, command: Command) => follow(command, id, options));

  rollout
    .command('history <rollout-or-node>')
    .description('what happened when and why, in one rollout or to one node in all of them')
    .option('--all', 'of a rollout: every step of every node, not only trouble')
    .option('--json')
    .action(async (word: string, options: Json & { all?: true }, command: Command) => {
      const all = await withFleet(pathsOf(command), (fleet) => historyOf(fleet, word));
      const ofNode = !word.startsWith('ro-');
      const events = ofNode || options.all === true ? all : remarkable(all);
      print(options.json, events, () => historyText(events, ofNode));
    });

  rules(rollout);

  operation(rollout, 'pause', 'start nothing more; what is under way comes to its end', true);
  operation(rollout, 'resume', 'go on, and accept what has failed so far');
  operation(rollout, 'abort', 'end it: what runs the new version keeps it', true);
  operation(rollout, 'rollback', 'end it and take back everything it touched, newest first', true);

  rollout
    .command('approve <rollout>')
    .description('approve its start (four eyes), or with --wave the manual gate of a wave')
    .option('--wave <n>', `number of the wave, as 'show' has it`, number)
    .option('--json')
    .action(async (id: string, options: Json & { wave?: number }, command: Command) => {
      const by = operator().actor;
      const { wave } = options;
      await done(command, id, options, { type: 'approve', by, ...(wave === undefined ? {} : { wave }) });
    });

  rollout
    .command('skip <rollout> [node]')
    .description('leave out a node that has not been touched, or with --wave what is left of a wave')
    .option('--wave <n>', `number of the wave, as 'show' has it`, number)
    .option('--reason <text>', 'why', 'skipped by the operator')
    .option('--json')
    .action(
      async (
        id: string,
        word: string | undefined,
        options: Json & { wave?: number; reason: string },
        command: Command,
      ) => {
        const by = operator().actor;
        const { wave, reason: why } = options;
        if ((wave === undefined) === (word === undefined)) {
          throw new BootwaveError({
            code: 'ROLLOUT_SKIP_WHAT',
            what: 'either a node or a wave is to be skipped',
            unchanged: 'nothing was changed',
            next: 'bootwave rollout skip ROLLOUT NODE, or bootwave rollout skip ROLLOUT --wave N',
          });
        }
        if (wave !== undefined) return done(command, id, options, { type: 'skip-wave', by, why, wave });
        const node = await withFleet(pathsOf(command), (fleet) => fleet.nodes.resolve(word ?? ''));
        await done(command, id, options, { type: 'skip', by, why, node: node.id });
      },
    );
}

async function follow(command: Command, id: string, options: Json): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const { stdout } = process;
  process.exitCode = await withFleet(pathsOf(command), (fleet) =>
    watchRollout(fleet.redis, id, {
      json: options.json,
      signal: stop.signal,
      every: WATCH_EVERY,
      screen: stdout.isTTY ? () => ({ columns: stdout.columns, rows: stdout.rows }) : null,
      write: (text) => stdout.write(text),
    }),
  );
}

function operation(
  rollout: Command,
  type: 'pause' | 'resume' | 'abort' | 'rollback',
  description: string,
  hasReason = false,
): void {
  const command = rollout.command(`${type} <rollout>`).description(description).option('--json');
  if (hasReason) command.option('--reason <text>', 'why', `${type} by the operator`);
  command.action(async (id: string, options: Json & { reason?: string }, self: Command) => {
    const by = operator().actor;
    const event: OperatorEvent =
      type === 'resume' ? { type, by } : { type, by, why: options.reason ?? `${type} by the operator` };
    await done(self, id, options, event);
  });
}

async function done(command: Command, id: string, options: Json, event: OperatorEvent): Promise<void> {
  const after = await withFleet(pathsOf(command), (fleet) => operate(fleet.redis, id, event));
  print(options.json, after, () => `${id} is ${after.state}: ${after.why}`);
}

/** @throws BootwaveError `ROLLOUT_SPEC_FILE`, `ROLLOUT_REFUSED` with every field and reason */
async function planned(
  paths: DataPaths,
  fleet: Fleet,
  file: string,
): Promise<{ plan: Plan; images: ImageFacts }> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'ROLLOUT_SPEC_FILE',
      what: `the spec cannot be read: ${messageOf(cause)}`,
      unchanged: 'nothing was started',
      cause,
    });
  });
  const checked = parseSpec(text);
  if (!checked.ok) throw refused(checked.refusals);
  const { facts, images } = await publishedFor(fleet, paths.images, checked.spec);
  const { image } = checked.spec;
  // Every node would refuse it; better here, where somebody can do something about it.
  if (image !== undefined && images[image] !== undefined) await mustBeReleased(paths, image);
  // Nodes keep no list of configurations that they refuse; one of an image's name is another thing.
  const nodes = await planNodes(fleet, checked.spec.config === undefined ? Object.keys(images) : []);
  const result = makePlan(nodes, checked.spec, Date.now(), facts);
  if (!result.ok) throw refused(result.refusals);
  return { plan: result.plan, images };
}

/** @throws BootwaveError `ROLLOUT_NOT_RELEASED` */
async function mustBeReleased({ releases }: DataPaths, image: string): Promise<void> {
  const released = await new Released(releases).images();
  if (released === null || released.has(image)) return;
  throw new BootwaveError({
    code: 'ROLLOUT_NOT_RELEASED',
    what: `image ${image} is published and not released: every node would refuse it`,
    unchanged: 'nothing was started',
    next: `release it with the targets keys: bootwave image publish ${image} --keys DIRECTORY`,
  });
}

function refused(refusals: readonly Refusal[]): BootwaveError {
  return new BootwaveError({
    code: 'ROLLOUT_REFUSED',
    what: refusals.map(({ field, reason }) => `${field} ${reason}`).join('\n  '),
    unchanged: 'nothing was started',
    next: 'correct the spec (docs/rollouts.md)',
  });
}

function number(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0) throw new InvalidArgumentError('the number of a wave');
  return n;
}
