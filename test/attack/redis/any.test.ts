/** Any record of a fleet, with anything in it changed, taken away, doubled or put back to what it was. */
import { generateKeyPairSync } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { publish } from '../../../orchestrator/operations/config/acts.ts';
import { issuedChange, readIssued } from '../../../orchestrator/orders/issued.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import { planNodes, publishedFor } from '../../../orchestrator/rollout/run/facts.ts';
import { create } from '../../../orchestrator/rollout/run/operate.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import type { Order } from '../../../protocol/order.ts';
import { orderKeyId, verifyOrder } from '../../../protocol/order-envelope.ts';
import { beatOfBoot, certificateFor, enrolment, macOf } from '../../orchestrator/fleet/support.ts';
import { IMAGES, VERSIONS } from '../../orchestrator/rollout/run/support.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { realSigner } from '../../support/real-signer.ts';
import { act, apply, dump, load } from './any.ts';
import { by, server } from './server.ts';

/** More where there is time: ATTACK_RUNS=5000. */
const RUNS = Number(process.env.ATTACK_RUNS ?? 60);
/** Released: what new hardware gets, and a node of which a person has said that it is to be installed. */
const NEWEST = '9.0';
const INSTALLED = enrolment(1).id;
const DISKLESS = enrolment(2).id;

/**
 * Members, one that waits, one that has left, one that is expected, and a site that takes only expected ones. The first member runs
 * from its disk and is in a rollout to 2.0, the second has none and is in one of a configuration; their orders are on record.
 */
async function populated(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, fleet, directory, admit } = world;
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const signer = await realSigner(paths, privateKey, { ...IMAGES, [NEWEST]: IMAGES['1.0']! });
  t.teardown(signer.close);
  await fleet.sites.add('munich', {}, by);
  for (const n of [1, 2, 4]) await admit(enrolment(n));
  for (const n of [1, 2]) {
    const one = enrolment(n);
    await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one));
  }
  await fleet.nodes.update(INSTALLED, (record) => {
    const wanted = { ...record!.wanted, mode: 'installed' as const };
    const next = { ...record!, wanted, installedAt: by.at, epoch: record!.epoch + 1 };
    return { outcome: { kind: 'changed', record: next, audit: [] } };
  });
  const acting = { fleet, by, paths } as never;
  const { sha256: config } = await publish({ text: '{"dns":["10.0.0.1"]}', version: 'safe' }, acting);
  await publish({ text: '{"dns":["6.6.6.6"]}', version: 'denied' }, acting);
  const start = async (id: string, what: object) => {
    const { name } = (await fleet.nodes.get(id))!;
    const checked = checkSpec({ ...what, nodes: { names: [name] }, waves: [{}] });
    if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
    const { facts, images } = await publishedFor(fleet, paths.images, checked.spec);
    const made = makePlan(await planNodes(fleet, VERSIONS), checked.spec, Date.now(), facts);
    if (!made.ok) throw new Error(JSON.stringify(made.refusals));
    return create(redis, made.plan, images, { author: by.actor, at: by.at, start: true });
  };
  const meant: { [node: string]: Partial<Order> & { rollout: string } } = {
    [INSTALLED]: {
      ...{ rollout: await start(INSTALLED, { image: '2.0' }), mode: 'installed', config: null },
      image: { version: '2.0', ...IMAGES['2.0']! },
    },
    [DISKLESS]: {
      ...{ rollout: await start(DISKLESS, { config: 'safe' }), mode: 'netboot', image: null, config },
    },
  };
  const before = await dump(redis);
  await fleet.retire(enrolment(4).id, 'sold', by);
  await fleet.sites.set('munich', { acceptUnknown: false, noTpm: 'refuse' }, by);
  await copyFile(journalFile(paths), `${journalFile(paths)}.kept`);
  /** Each with a number that was never signed, as a server has them on record and signed. */
  const order = async () => {
    for (const [node, { rollout, ...what }] of Object.entries(meant)) {
      const { epoch } = await signer.client.standing(node);
      const one = orderOf({ node, ...what, epoch: epoch + 1 }, Date.now());
      const inForce = (await readIssued(redis, [node])).get(node);
      await commit(redis, { records: [issuedChange(inForce, { order: one, rollout, kind: 'stage' })] });
      await sign(redis, signer.client, one);
    }
  };
  const keys = new Map([[orderKeyId(publicKey), publicKey]]);
  /** What a server has signed that finds the order of a node on record; null: nothing. */
  const signed = async (node: string): Promise<Order | null> => {
    const issued = (await readIssued(redis, [node]).catch(() => null))?.get(node);
    const envelope = await sign(redis, signer.client, issued?.order as Order).catch(() => null);
    if (envelope === null) return null;
    return verifyOrder(envelope, keys, { nodeId: issued!.order.node, now: Date.now(), last: null }).order;
  };
  return { ...world, before, now: await dump(redis), order, signed, config };
}

test('nobody gets a place, a certificate, an image or an order that they would not have had', async (t) => {
  const { redis, paths, open, asks, before, now, order, signed, config } = await populated(t);
  /**
   * What people have decided that a node has. One that no rollout has moved so far is new: it gets any image that was ever decided, as
   * the boot server gives it.
   */
  const decided: { [node: string]: { images: readonly (string | null)[]; configs: readonly unknown[] } } = {
    [INSTALLED]: { images: ['2.0', '1.0', NEWEST, null], configs: [null] },
    [DISKLESS]: { images: ['1.0', '2.0', NEWEST, null], configs: [config, null] },
  };
  /** Refusals and errors of ours are fine: the fleet may be stalled. */
  const stalls = async <T>(question: Promise<T>): Promise<T | null> =>
    question.catch((error: unknown) => {
      if (error instanceof BootwaveError) return null;
      throw error;
    });
  let stalled = 0;
  let ordered = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 6 }), fc.boolean(), async (acts, restarts) => {
      await load(redis, now);
      await copyFile(`${journalFile(paths)}.kept`, journalFile(paths));
      let running = await open();
      await order();
      // What Redis itself refuses was not done.
      for (const one of acts) await apply(redis, before, one).catch(() => {});
      if (restarts) {
        const again = await open().catch(() => null);
        // A server that does not start lets nobody in.
        if (again === null) {
          stalled += 1;
          return;
        }
        running = again;
      }
      const { directory, at } = running;
      for (const node of [INSTALLED, DISKLESS]) {
        const got = await signed(node);
        if (got === null) continue;
        // To a machine that is no member it says nothing that could be done: nobody has a link to that.
        const may = decided[got.node] ?? { images: ['1.0', '2.0', NEWEST, null], configs: [config, null] };
        const what = `${node}: ${JSON.stringify(got)}`;
        t.true(may.images.includes(got.image?.version ?? null), what);
        t.true(may.configs.includes(got.config), what);
        t.deepEqual([got.wipe, got.services], [false, []], what);
        if (got.node === node) ordered += 1;
      }
      for (const n of [1, 2, 3, 4, 5, 6, 7]) {
        const intent = await stalls(directory.bootIntent({ mac: macOf(n) }));
        const version = intent?.kind === 'image' ? intent.version : '1.0';
        t.true(['1.0', '2.0'].includes(version), `${n} gets ${version}`);
      }
      const outcome = async (one: Enrolment, of = directory) => {
        const enrolled = await stalls(of.enrol(one));
        const told = await stalls(asks(one, of));
        return [enrolled?.state, told];
      };
      for (const one of [enrolment(3), enrolment(4, 2), enrolment(6)])
        for (const said of await outcome(one)) t.false(said?.startsWith('approved') ?? false, `${said}`);
      t.not(
        (await stalls(at('munich').enrol(enrolment(7))))?.state,
        'pending',
        'where nobody is let in unexpected',
      );
      const [member] = await outcome(enrolment(1, 2));
      if (member !== 'approved') stalled += 1;
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
  t.true(stalled < RUNS / 2, `the member came back in all runs but ${stalled}`);
  t.true(ordered > RUNS, `of two orders a run ${ordered} were signed`);
});
