/** Carrying out one command on one node. Everything here may happen twice: the node checks epoch and boot. */
import { BootwaveError } from '../../../base/error.ts';
import { sliceOf } from '../../../protocol/service/name.ts';
import { blameOfNode, blameOfSigner } from '../../causes/refusal.ts';
import { CONFIG_REFUSALS } from '../../config/store.ts';
import { deliverOrder } from '../../orders/deliver.ts';
import { knownEpoch, noteEmptyMemory } from '../../orders/guard.ts';
import { type Issued, readIssued, rewind } from '../../orders/issued.ts';
import { signKept } from '../../orders/kept.ts';
import { standingOf } from '../../orders/sign.ts';
import { NodeRefusal } from '../../transport/errors.ts';
import type { NodeCommand, NodeEvent } from '../event.ts';
import type { StepState } from '../node-step.ts';
import { wishesIn } from '../services.ts';
import { actConfig } from './act-config.ts';
import type { Actor } from './actor.ts';
import { pardoned } from './forgive.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { markUpdating } from './updating.ts';

/** The state of a node's step for each command; in any other state the command is out of date. */
const WHILE: Record<NodeCommand['kind'], StepState> = {
  stage: 'staging',
  activate: 'activating',
  rollback: 'rolling-back',
};

/** Milliseconds of silence after which this try is given up; the engine asks again. */
const SILENCE = { quick: 15_000, stage: 60_000 } as const;
/** Milliseconds during which a connection is tried again: a node that restarts all the time is caught while it is up. */
const RECONNECT = 20_000;

/** @returns the node's result, for the engine; nothing if its next report shows it, or if it was not reached */
export async function act(actor: Actor, command: NodeCommand): Promise<NodeEvent[]> {
  const { redis, log } = actor;
  const { node, epoch, kind } = command;
  const [state, now] = await redis.hmget(ROLLOUT_KEYS.node(command.rollout, node), 'state', 'epoch');
  if (state !== WHILE[kind] || now !== String(epoch)) return [];
  try {
    if (command.of === 'service') return await actServices(actor, command);
    if (command.of === 'config') {
      if (kind !== 'stage') await want(actor, command, null);
      await deliver(actor, command);
      return await actConfig(actor, command, quick(actor));
    }
    if (kind === 'stage') return await stage(actor, command);
    if (kind === 'activate') await activate(actor, command);
    else await takeBack(actor, command);
    return [];
  } catch (error) {
    if (error instanceof NodeRefusal) {
      log.info({ node, epoch, kind, code: error.code }, 'the node refused an order');
      // Whoever answers has been told: its time runs, whatever the answer is.
      await actor.begun(command);
      return refusalOf(actor, command, error);
    }
    if (error instanceof BootwaveError && isVerdict(error)) {
      log.warn({ node, epoch, kind, code: error.code }, error.what);
      return notSigned(actor, command, error);
    }
    if (error instanceof BootwaveError && error.code.startsWith('LINK_')) {
      log.debug({ node, epoch, kind, code: error.code }, 'the node was not reached with an order');
      return error.code === 'LINK_ABORTED' ? [] : [{ type: 'unreachable', node }];
    }
    throw error;
  }
}

/** An order is all that services need: the node fetches and starts what it names, and its reports say how that goes. */
async function actServices(actor: Actor, command: NodeCommand): Promise<NodeEvent[]> {
  const { node, epoch, kind } = command;
  if (kind === 'stage') {
    const { result: status } = await actor.pool.request(node, 'status', {}, quick(actor));
    // Nothing was issued yet: an order with services in it is one that such an image would never take.
    if (status.services === undefined) return [{ type: 'unfit', node, why: 'its image knows no services' }];
    const isOfSlice = wishesIn(command.version ?? '').some(({ name }) => sliceOf(name) !== null);
    if (isOfSlice && status.slices !== true)
      return [{ type: 'unfit', node, why: 'its image knows no slices' }];
    await noteEmptyMemory(actor, node, status, epoch);
    await actor.begun(command);
    return [{ type: 'staged', node, epoch }];
  }
  await want(actor, command, null);
  await deliver(actor, command);
  return [{ type: 'reachable', node }];
}

async function stage(actor: Actor, command: Extract<NodeCommand, { kind: 'stage' }>): Promise<NodeEvent[]> {
  const { node, epoch, version } = command;
  const { result: status } = await actor.pool.request(node, 'status', {}, quick(actor));
  const refused = status.refused.find((entry) => entry.version === version);
  const issued = (await readIssued(actor.redis, [node])).get(node);
  const forgiven = issued?.order.forgiven ?? [];
  if (refused !== undefined && !forgiven.includes(version)) {
    return [{ type: 'refused', node, epoch, code: 'refuses-version', why: refused.reason, has: epoch }];
  }
  await noteEmptyMemory(actor, node, status, epoch);
  await deliver(actor, command, issued);
  if (forgiven.length > 0) {
    const { result } = await actor.pool.request(node, 'forgive', { epoch }, quick(actor));
    await pardoned(actor.redis, node, result.forgiven, Date.now());
  }
  await actor.pool.request(node, 'stage', { epoch }, { signal: actor.signal, timeout: SILENCE.stage });
  return [{ type: 'staged', node, epoch }];
}

async function activate(actor: Actor, command: Extract<NodeCommand, { kind: 'activate' }>): Promise<void> {
  const { bootId, version } = command;
  if (bootId === null) return;
  await want(actor, command, version);
  await deliver(actor, command);
  await restart(actor, command, bootId);
}

/** The last good image is usually on the node's disk: then nothing is fetched, and it only restarts into it. */
async function takeBack(actor: Actor, command: Extract<NodeCommand, { kind: 'rollback' }>): Promise<void> {
  const { node, epoch, version } = command;
  if (version === null) return;
  await want(actor, command, version);
  await deliver(actor, command);
  const { result: status } = await actor.pool.request(node, 'status', {}, quick(actor));
  if (status.running.version === version) {
    await actor.pool.request(node, 'cancel', { epoch }, quick(actor));
    return;
  }
  if (command.how === 'disk') {
    await actor.pool.request(node, 'stage', { epoch }, { signal: actor.signal, timeout: SILENCE.stage });
  }
  await restart(actor, command, status.running.bootId);
}

async function restart(actor: Actor, { node, epoch, how }: NodeCommand & { how: string }, bootId: string) {
  const op = how === 'disk' ? 'activate' : 'restart';
  await actor.pool.request(node, op, { epoch, bootId }, quick(actor));
}

async function deliver(actor: Actor, command: NodeCommand, known?: Issued): Promise<void> {
  const { node, epoch } = command;
  const issued = known ?? (await readIssued(actor.redis, [node])).get(node);
  if (issued?.order.epoch !== epoch) {
    throw new BootwaveError({ code: 'LINK_ABORTED', what: `epoch ${epoch} is not in force for ${node}` });
  }
  const moved = command.of === 'service' ? wishesIn(command.version ?? '').map(({ name }) => name) : [];
  const changes = { config: command.of === 'config', services: moved };
  const envelope = await signKept(actor.redis, actor.signer, issued.order, changes);
  await deliverOrder(actor.pool, node, envelope, quick(actor));
  await actor.begun(command);
}

/** What the boot server gives a machine that boots from the network, and what the fleet shows for it. */
function want(
  { fleet }: Actor,
  { node, rollout, kind, epoch }: NodeCommand,
  image: string | null,
): Promise<void> {
  const fence = { state: WHILE[kind], epoch };
  return markUpdating(fleet, node, { rollout, image, at: Date.now(), while: fence });
}

const quick = ({ signal }: Actor) => ({ signal, timeout: SILENCE.quick, connectWithin: RECONNECT });

/** The signer refuses it, however often it is asked; a signer that is down or broken comes back. */
const isVerdict = ({ code }: BootwaveError) =>
  code.startsWith('ORDER_') || (code.startsWith('SIGNER_') && !SIGNER_AWAY.includes(code));
const SIGNER_AWAY = ['SIGNER_UNREACHABLE', 'SIGNER_LEDGER', 'SIGNER_WORDS', 'SIGNER_FAULT'];

async function notSigned(actor: Actor, command: NodeCommand, error: BootwaveError): Promise<NodeEvent[]> {
  const { node, epoch } = command;
  const why = `${error.code}: ${error.what}`;
  const blame = blameOfSigner(error.code);
  if (error.code === 'ORDER_PUT_RIGHT')
    return [{ type: 'refused', node, epoch, code: 'stale-epoch', why, has: epoch }];
  if (blame === 'number') {
    // Nothing so high was ever signed, so no node ever saw it: the number in the database is set back.
    const { epoch: has } = await standingOf(actor.redis, actor.signer, node);
    await rewind(actor.redis, node, has);
    return [{ type: 'refused', node, epoch, code: 'cannot', why, has, blame }];
  }
  if (error.code !== 'SIGNER_EPOCH_OLD' && error.code !== 'SIGNER_EPOCH_REUSED')
    return [{ type: 'refused', node, epoch, code: 'cannot', why, has: epoch, blame }];
  // The database has lost what was signed: the next order gets a higher epoch.
  const { epoch: has } = await standingOf(actor.redis, actor.signer, node);
  return [{ type: 'refused', node, epoch, code: 'stale-epoch', why, has }];
}

const STALE = ['ORDER_EPOCH_OLD', 'ORDER_EPOCH_REUSED', 'LINK_EPOCH_OLD'];

async function refusalOf(actor: Actor, command: NodeCommand, error: NodeRefusal): Promise<NodeEvent[]> {
  const { node, epoch } = command;
  const why = `${error.code}: ${error.what}`;
  if (error.code === 'LINK_RESTARTED') {
    return [{ type: 'refused', node, epoch, code: 'other-boot', why, has: epoch }];
  }
  if (STALE.includes(error.code)) {
    const { result: status } = await actor.pool.request(node, 'status', {}, quick(actor));
    const has = knownEpoch(status) || epoch;
    return [{ type: 'refused', node, epoch, code: 'stale-epoch', why, has }];
  }
  if (CONFIG_REFUSALS.includes(error.code)) {
    return [{ type: 'refused', node, epoch, code: 'refuses-version', why, has: epoch }];
  }
  // The link is busy, or the order was lost between two requests: the same again, later.
  if (error.code === 'LINK_BUSY' || error.code === 'LINK_EPOCH_UNKNOWN') return [];
  return [{ type: 'refused', node, epoch, code: 'cannot', why, has: epoch, blame: blameOfNode(error.code) }];
}
