/** The one way to do anything: parse, resolve names, authorise, ask a second person if two are needed, act, record. */
import { z } from 'zod';
import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import { actingFor } from '../fleet/acting.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { brokenGlass } from '../operators/break-glass.ts';
import { boundTo, type Denial, type Identity, judge, judgeRole } from '../operators/judge.ts';
import { knownOperators } from '../operators/known.ts';
import type { Signed } from '../operators/request.ts';
import type { Request } from '../operators/requests.ts';
import { hourlyOf } from './hourly.ts';
import { type Acting, type Carrying, type House, holds, type Operation } from './operation.ts';
import { parse } from './parse.ts';
import { whileTheyMay } from './still.ts';
import { approveRequest, askSecond, NeedsSignature, signedWish } from './two-people.ts';

export type Ask = {
  operation: string;
  input: unknown;
  /** Signed by the caller, where they were asked to. */
  signed?: Signed | undefined;
};

export type From = {
  identity: Identity;
  /** The caller is elsewhere: nothing may name a file of this machine. */
  remote?: boolean;
  tell?: Acting['tell'];
  carrying?: Carrying | undefined;
};

export type Performed =
  | { kind: 'done'; result: unknown }
  /** A second person has to agree. */
  | { kind: 'waits'; request: Request; shown: object }
  /** The caller has to sign this, and ask again. */
  | { kind: 'sign'; word: 'ask' | 'approve'; text: string; at: number };

/**
 * @throws BootwaveError `OPERATION_UNKNOWN`, `INPUT_INVALID`, `OPERATION_HOST`, `OPERATOR_ROLE`, `OPERATOR_SITE`,
 * `REQUEST_*`, `NODE_UNKNOWN`, `NODE_AMBIGUOUS`, and what the operation throws
 */
export async function perform(house: House, from: From, ask: Ask): Promise<Performed> {
  const operation = house.find(ask.operation);
  const { certificate, actor } = from.identity;
  const who = certificate === undefined ? null : { actor, serial: certificate.serial };
  return actingFor(who, async () => {
    try {
      return await judged(house, from, operation, ask);
    } catch (error) {
      if (error instanceof NeedsSignature)
        return { kind: 'sign', word: error.word, text: error.text, at: error.at };
      throw error;
    }
  });
}

async function judged(house: House, from: From, operation: Operation, ask: Ask): Promise<Performed> {
  const parsed = parse(operation, ask.input);
  if (from.remote === true && holds(operation.hostOnly, parsed)) throw hostOnly(operation);
  const { input, identity } = await authorise(house, from.identity, operation, parsed);
  const records = operation.offline === 'files' ? null : await house.records();
  const { carrying } = from;
  const still = async () => {
    await carrying?.still();
    if (boundTo(identity, operation) === null) return;
    // Its nodes may have moved to another site meanwhile.
    const { denial } = await judgeAbout(house, identity, operation, input);
    if (denial !== null) throw refused(denial);
  };
  const carried = carrying && { ...carrying, still };
  const asked = { name: operation.name, carrying: carried, signal: house.signal };
  const contextOf = ({ carrying, signal }: Pick<typeof asked, 'carrying' | 'signal'>) =>
    acting({ ...house, signal }, { ...from, identity, carrying }, records, operation, ask.signed);
  if (!holds(operation.fourEyes, input)) {
    const act = await operation.act();
    const result = await paced(house, identity, operation, () =>
      whileTheyMay(asked, (now) => act(input, contextOf(now))),
    );
    return { kind: 'done', result: output(operation, result) };
  }
  const context = contextOf(asked);
  const prepare = await operation.prepare?.();
  const ready = prepare === undefined ? { input } : await prepare(input, context);
  if ('result' in ready) return { kind: 'done', result: output(operation, ready.result) };
  const request = await askSecond(house, context, operation, ready, ask.signed);
  return { kind: 'waits', request, shown: ready.shown ?? {} };
}

/** @throws BootwaveError `OPERATOR_PACE`, and what `act` throws */
async function paced<R>(
  house: House,
  identity: Identity,
  operation: Operation,
  act: () => Promise<R>,
): Promise<R> {
  const { name, perHour = Number.POSITIVE_INFINITY } = operation;
  if (boundTo(identity, operation) === null || perHour === Number.POSITIVE_INFINITY) return act();
  const hourly = hourlyOf(house);
  const what = `${identity.actor} ${name}`;
  if (hourly.take(what, house.now()) > perHour)
    throw refusal(
      'OPERATOR_PACE',
      `${identity.actor} has done '${name}' ${perHour} times in this hour: each time stays written for ever`,
      'wait for the next hour, or ask the core team',
    );
  try {
    return await act();
  } catch (error) {
    hourly.giveBack(what);
    throw error;
  }
}

function acting(
  house: House,
  { identity, tell = () => {}, carrying }: From,
  records: { fleet: Fleet; bans: DecisionKeeper } | null,
  { name }: Operation,
  signed: Signed | undefined,
): Acting {
  const { paths, log, signal, wires, links, find } = house;
  const by = { actor: identity.actor, at: house.now() };
  const missing = (): never => {
    throw new Error('declared to need files only');
  };
  const context: Acting = {
    ...{ paths, log, signal, identity, by, tell, wires, links, find },
    ...(carrying === undefined ? {} : { carrying }),
    get fleet() {
      return records?.fleet ?? missing();
    },
    get bans() {
      return records?.bans ?? missing();
    },
    signature: (input) => {
      if (identity.certificate === undefined) throw certificateNeeded(name);
      return signedWish(house, { identity, by }, name, { input }, signed).signed;
    },
    approval: (id) => approveRequest(house, context, id, signed),
  };
  return context;
}

/** Only declared fields leave this process. */
function output(operation: Operation, result: unknown): unknown {
  const parsed = operation.result.safeParse(result);
  if (parsed.success) return parsed.data;
  // It was done: a result that cannot be sent is our fault, and no reason to do it again.
  throw new BootwaveError({
    code: 'RESULT_INVALID',
    what: `'${operation.name}' was done, and its result is not what is declared: ${z.prettifyError(parsed.error)}`,
    next: 'report this; look at what was changed before you ask again',
  });
}

/**
 * Finds the nodes that the input names and puts their ids in their place: what was judged is what is acted on, even
 * when a name has gone to another node in between. Then checks whether this person may.
 */
async function authorise(
  house: House,
  identity: Identity,
  operation: Operation,
  parsed: unknown,
): Promise<{ input: unknown; identity: Identity }> {
  const role = judgeRole(identity, operation);
  const glass = role === null ? identity : await refuseOrBreak(house, identity, operation, role);
  const { input, denial } = await judgeAbout(house, glass, operation, parsed);
  if (denial === null) return { input, identity: glass };
  return { input, identity: await refuseOrBreak(house, glass, operation, denial) };
}

/** What it concerns now, and whether somebody whose role allows it may do it to that. */
async function judgeAbout(house: House, identity: Identity, operation: Operation, parsed: unknown) {
  const { nodes: fields = [] } = operation;
  const bound = boundTo(identity, operation);
  if (fields.length === 0 && bound === null) return { input: parsed, denial: null };
  const { fleet } = await house.records();
  const { input, nodes } = await pin(fleet, fields, parsed as Record<string, unknown>);
  if (bound === null) return { input, denial: null };
  const about = (await operation[bound]?.(input, { nodes, fleet })) ?? [];
  return { input, denial: judge(identity, operation, about) };
}

type Named = NonNullable<Awaited<ReturnType<Fleet['nodes']['get']>>>;

async function pin(fleet: Fleet, fields: readonly string[], input: Record<string, unknown>) {
  const nodes: Named[] = [];
  const one = async (word: string): Promise<string> => {
    const found = await fleet.nodes.resolve(word);
    nodes.push(found);
    return found.id;
  };
  const pinned: Record<string, unknown> = { ...input };
  for (const field of fields) {
    const value = input[field];
    if (typeof value === 'string') pinned[field] = await one(value);
    else if (Array.isArray(value)) pinned[field] = await Promise.all(value.map(one));
  }
  return { input: pinned, nodes };
}

/**
 * Lets them through if two people agreed, and writes that to the history; if that line cannot be written, it does not.
 */
async function refuseOrBreak(
  house: House,
  identity: Identity,
  operation: Operation,
  denial: Denial,
): Promise<Identity> {
  const { actor, certificate } = identity;
  const at = house.now();
  if (certificate !== undefined && operation.breakGlass === true) {
    const { fleet } = await house.records();
    const request = await brokenGlass(fleet.redis, await knownOperators(house.paths), identity, at);
    if (request !== null) {
      const entry = { at, actor, action: 'break-glass', reason: `bootwave ${operation.name}` };
      await fleet.audit.append({ ...entry, detail: { request } });
      house.log.error(
        { code: 'BREAK_GLASS', actor, operation: operation.name, request },
        'done by break-glass, and by no right of their own',
      );
      return { ...identity, role: 'admin', sites: [] };
    }
  }
  await note(house, actor, denial);
  throw refused(denial);
}

const refused = (denial: Denial): BootwaveError =>
  new BootwaveError({
    ...denial,
    unchanged: 'nothing was changed',
    next:
      denial.code === 'OPERATOR_SLICE'
        ? "name one of yours: 'bootwave slice list' shows them"
        : 'docs/operators.md says who may do what',
  });

/** Lines about refusals of one person in an hour: nobody fills the history, which stays, by asking for what they may not. */
const MOST_REFUSALS = 100;

/** A refused attempt by a known person belongs in the history. If the history cannot be written, nobody is let in. */
async function note(house: House, actor: string, { code, what }: Denial): Promise<void> {
  const count = hourlyOf(house).take(`${actor} refused`, house.now());
  if (count > MOST_REFUSALS) return;
  const last = count === MOST_REFUSALS ? '; what else is refused to them in this hour is not written' : '';
  try {
    const { fleet } = await house.records();
    await fleet.audit.append({
      at: house.now(),
      actor,
      action: 'refused',
      reason: `${code}: ${what}${last}`,
    });
  } catch (error) {
    house.log.error({ reason: messageOf(error), actor, code }, 'a refusal was not audited');
  }
}

/** Who is root here could give any name; what they do by that, a node must not. */
function certificateNeeded(name: string): BootwaveError {
  return new BootwaveError({
    code: 'OPERATION_CERTIFICATE',
    what: `'bootwave ${name}' counts only as signed with the key of a certificate; being root on this machine is none`,
    unchanged: 'nothing was done',
    next: "give --as FILE; 'bootwave operator add' makes one",
  });
}

function hostOnly({ name }: Operation): BootwaveError {
  return new BootwaveError({
    code: 'OPERATION_HOST',
    what: `'bootwave ${name}' names files or processes of the server's machine`,
    unchanged: 'nothing was done',
    next: 'do it on that machine, without --server',
  });
}
