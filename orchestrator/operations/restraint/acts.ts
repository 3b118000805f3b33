import { setTimeout as sleep } from 'node:timers/promises';
import { refusal } from '../../../base/error.ts';
import { instanceNameSchema, shownName } from '../../../protocol/service/name.ts';
import { type DecidedRestraint, EVERYWHERE, namesFor } from '../../fleet/decisions/restraints.ts';
import { isRegistered } from '../../fleet/transitions.ts';
import { decideRestraint, type Word } from '../../restraints/decide.ts';
import { runningOn } from '../../restraints/running.ts';
import type { Acting } from '../operation.ts';
import { nameIn } from '../service/named.ts';

/** Names of nodes. `done`: they have said that it is so; `waiting`: it will be, as soon as they are heard. */
export type Restrained = { service: string; changed: boolean; done: string[]; waiting: string[] };

/** `node`: its name; null: wherever the service runs. */
export type ShownRestraint = Omit<DecidedRestraint, 'node' | 'epoch'> & { node: string | null };

type Asked = { service: string; nodes: string[]; reason: string };

/** Milliseconds that a person waits for nodes to say that it is so, and for one of them. */
const PATIENCE = 15_000;
const SILENCE = 5_000;
/** Nodes that are asked; of more it is not waited for. */
const MOST_ASKED = 200;

/** @throws BootwaveError `SERVICE_NOWHERE`, `NODE_UNKNOWN`, `DECISIONS_DISK` */
export const freeze = (asked: Asked, acting: Acting) =>
  restrain(asked, { how: 'freeze', rate: null }, acting);

export const throttle = ({ rate, ...asked }: Asked & { rate: number }, acting: Acting) =>
  restrain(asked, { how: 'throttle', rate }, acting);

/** Without nodes it is let go everywhere, also where that was said of a node. @throws BootwaveError `SERVICE_RESTRAINED_EVERYWHERE`, `SERVICE_NOT_RESTRAINED` */
export async function resume(asked: Asked, acting: Acting): Promise<Restrained> {
  const name = nameOf(asked.service);
  const known = (await standing(acting)).filter(({ service }) => service === name);
  const everywhere = known.find(({ node }) => node === EVERYWHERE);
  if (asked.nodes.length > 0 && everywhere !== undefined)
    throw refusal(
      'SERVICE_RESTRAINED_EVERYWHERE',
      `${shownName(name)} is restrained wherever it runs, since ${everywhere.by} said so: ${everywhere.reason}`,
      `'bootwave service resume ${shownName(name)} --reason WHY' lets it go everywhere`,
    );
  const where = known
    .map(({ node }) => node)
    .filter((node) => asked.nodes.length === 0 || asked.nodes.includes(node));
  if (where.length === 0)
    throw refusal(
      'SERVICE_NOT_RESTRAINED',
      `${shownName(name)} is neither frozen nor throttled there`,
      "'bootwave service restraints' shows what is",
    );
  const running = await runningOn(acting.fleet, new Set([name]));
  return decideAt(where, { service: name, how: null, rate: null, reason: asked.reason }, running, acting);
}

export async function list(_: object, acting: Acting): Promise<ShownRestraint[]> {
  const all = await standing(acting);
  const ids = all.map(({ node }) => node).filter((node) => node !== EVERYWHERE);
  const names = new Map((await acting.fleet.nodes.getMany(ids)).map(({ id, name }) => [id, name]));
  return all.map(({ node, epoch: _, ...rest }) => ({
    ...rest,
    service: shownName(rest.service),
    node: node === EVERYWHERE ? null : (names.get(node) ?? node),
  }));
}

async function standing({ fleet }: Acting): Promise<DecidedRestraint[]> {
  await fleet.decisions.look();
  return fleet.decisions.restraints.all.filter(({ how }) => how !== null);
}

const nameOf = (written: string): string =>
  nameIn(written, instanceNameSchema, 'SERVICE_NOWHERE', 'name one without its version');

async function restrain(
  { service, nodes, reason }: Asked,
  word: Pick<Word, 'how' | 'rate'>,
  acting: Acting,
): Promise<Restrained> {
  const name = nameOf(service);
  const running = await runningOn(acting.fleet, new Set([name]));
  const not = nodes.filter((id) => !running.has(id));
  // Wherever it runs may also be where it comes to later: yet a name that nobody has is a slip.
  if (not.length > 0 || (nodes.length === 0 && running.size === 0))
    throw refusal(
      'SERVICE_NOWHERE',
      nodes.length === 0
        ? `no order of a node names ${shownName(name)}`
        : `no order of ${(await acting.fleet.nodes.get(not[0] ?? ''))?.name ?? not[0]} names ${shownName(name)}`,
      `'bootwave service top ${shownName(name)}' shows where it runs`,
    );
  const where = nodes.length === 0 ? [EVERYWHERE] : nodes;
  return decideAt(where, { service: name, ...word, reason }, running, acting);
}

/** @param running nodes whose order names it */
async function decideAt(
  where: readonly string[],
  word: Omit<Word, 'node'>,
  running: ReadonlySet<string>,
  acting: Acting,
): Promise<Restrained> {
  const { fleet, by } = acting;
  let changed = false;
  for (const node of where) changed = (await decideRestraint(fleet, { ...word, node }, by)) || changed;
  const concerned = [...running].filter((id) => where.includes(id) || where.includes(EVERYWHERE));
  const records = (await fleet.nodes.getMany(concerned)).filter(({ state }) => isRegistered(state));
  const open = new Map(records.map(({ id, name }) => [id, name]));
  const done: string[] = [];
  const pool = acting.links();
  for (const end = performance.now() + PATIENCE; pool !== undefined && performance.now() < end; ) {
    const asked = [...open.keys()].slice(0, MOST_ASKED);
    // One that does not answer is asked again with the others, and each of them once.
    await Promise.allSettled(
      asked.map(async (id) => {
        const { result } = await pool.request(id, 'status', {}, { signal: acting.signal, timeout: SILENCE });
        const told = (result.services ?? []).filter(({ name }) => namesFor(name).includes(word.service));
        const isSo = ({ name, restraint }: (typeof told)[number]) =>
          restraint === fleet.decisions.restraints.on(id, [name])[0]?.how;
        if (told.length === 0 || !told.every(isSo)) return;
        done.push(open.get(id)!);
        open.delete(id);
      }),
    );
    if (open.size === 0 || acting.signal.aborted) break;
    await sleep(500);
  }
  return {
    service: shownName(word.service),
    changed,
    done: done.toSorted(),
    waiting: [...open.values()].toSorted(),
  };
}
