/**
 * A person looks at a broken node: decided, signed, delivered over the link, taken by root, let in by the image's sshd, shown by root's helper,
 * recorded. All of it real, on loopback.
 */
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { chmod, chown, copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { readTar } from '../../../formats/tar.ts';
import { createLinkServer } from '../../../image/agent/member/link/server.ts';
import { noteNode, takeOrder } from '../../../image/agent/root/orders/take.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { access, leave } from '../../../orchestrator/operations/incident/access.ts';
import * as acts from '../../../orchestrator/operations/incident/acts.ts';
import { collect, evidence, take } from '../../../orchestrator/operations/incident/evidence.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { lookInto, openAccess } from '../../../orchestrator/recovery/access.ts';
import { collect as collectOf } from '../../../orchestrator/recovery/evidence.ts';
import { fence } from '../../../orchestrator/recovery/fence.ts';
import { startEvidenceKeeper } from '../../../orchestrator/recovery/keep-evidence.ts';
import { startRescueKeeper } from '../../../orchestrator/recovery/keep-rescue.ts';
import { targetsOf } from '../../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import type { RescueRequest } from '../../../protocol/agent/rescue.ts';
import { server } from '../../attack/redis/server.ts';
import { handlersOf, quiet, statusOf } from '../../image/agent/member/link/handlers.ts';
import { helperSocket } from '../../image/agent/root/helper-socket.ts';
import { realSigner } from '../../support/real-signer.ts';
import { until } from '../../support/until.ts';
import { beatOfBoot, certificateFor, enrolment, silent } from '../fleet/support.ts';
import { nodeSshd } from '../transport/sshd.ts';
import { elsewhere } from './elsewhere.ts';

const NODE = enrolment(1).id;
/** Nodes' sshd listens there; nothing else has this address. */
const PLACE = { host: `127.77.${process.pid % 250}.1`, port: 22 };
const WHY = { node: NODE, reason: 'it is slow' };

type World = Pick<Awaited<ReturnType<typeof server>>, 'fleet' | 'paths' | 'admit' | 'directory'>;

/** A member, its sshd and root on it, and a server that brings it orders. */
async function house(t: ExecutionContext, { fleet, paths, admit, directory }: World) {
  const layout = keyLayout(paths.keys);
  const orderKey = createPrivateKey(await readFile(layout.order.key, 'utf8'));
  const signer = await realSigner(paths, orderKey, {});
  t.teardown(signer.close);
  const node = await nodeSshd(await readFile(layout.ssh.pub, 'utf8'), PLACE);
  t.teardown(node.remove);
  const keys = join(node.folder, 'lib/bootwave/fleet');
  await copyFile(layout.order.pub, join(keys, 'order.pub'));
  await noteNode(node.run, NODE);
  const socket = join(node.run, 'rescue.sock');
  const helper = await helperSocket('rescue', ['nsenter', `--target=${node.pid}`, '--mount'], socket);
  t.teardown(helper.close);
  await chown(socket, 0, node.looker);
  await chmod(socket, 0o660);
  const one = enrolment(1, 1, { address: PLACE.host, hostKey: node.hostKey.line });
  await admit(one);
  await directory.heartbeat(NODE, certificateFor(one).serial, beatOfBoot(one));

  const places = { fleet: keys, run: node.run, nv: null, now: Date.now };
  let order: { epoch: number; digest: string; expires: number } | null = null;
  const agent = await createLinkServer({
    ...{ socketPath: node.socketPath, log: quiet },
    handlers: handlersOf(NODE, {
      fence: () => ({ epoch: order?.epoch ?? 0, bootId: '' }),
      status: () => ({ ...statusOf(NODE), order }),
      async order({ envelope }) {
        const { epoch, digest, accepted } = await takeOrder(envelope, places);
        order = { epoch, digest, expires: Date.now() + 3600_000 };
        return { epoch, digest, accepted };
      },
    }),
  });
  t.teardown(() => agent.close());
  const stop = new AbortController();
  const pool = new LinkPool({
    privateKey: await readFile(layout.ssh.key),
    resolve: targetsOf(fleet),
    signal: stop.signal,
  });
  const kept = startRescueKeeper({
    ...{ fleet, pool, signer: signer.client, log: silent, signal: stop.signal },
    times: { look: 100, again: 200 },
  });
  t.teardown(async () => {
    stop.abort();
    await kept;
  });
  const acting = {
    ...{ fleet, paths, by: { actor: 'operator:ann', at: Date.now() } },
    ...{ signal: stop.signal, log: silent },
  } as never;
  const letsIn = () =>
    readFile(join(node.run, 'rescue-keys'), 'utf8').then(
      () => true,
      () => false,
    );
  const opens = async (what: boolean) => {
    for (const last = performance.now() + 60_000; performance.now() < last; await sleep(50))
      if ((await letsIn()) === what) return;
    throw new Error(`not within a minute: ${what}`);
  };
  const history = async () =>
    (await fleet.audit.read({ node: NODE })).flatMap(({ action, reason }) =>
      action === 'incident-access' ? [reason ?? ''] : [],
    );
  return { fleet, paths, node, acting, opens, letsIn, history };
}

/** Root there takes every request, and answers none. @returns resolves when so many were asked */
async function slowRoot(t: ExecutionContext, { run, looker }: { run: string; looker: number }) {
  const socket = join(run, 'rescue.sock');
  await rm(socket);
  let asked = 0;
  const slow = createServer((one) =>
    one
      .on('error', () => {})
      .on('data', () => {
        asked += 1;
      }),
  );
  t.teardown(() => slow.close());
  await new Promise<void>((resolve) => slow.listen(socket, resolve));
  await chown(socket, 0, looker);
  await chmod(socket, 0o660);
  return (times: number) => until(() => asked >= times);
}

test.serial('asked for, opened, looked at, recorded, left: each seen at the node', async (t) => {
  const { acting, paths, opens, letsIn, history, node } = await house(t, await server(t));
  const ask = { ...WHY, look: 'processes' as const };
  await t.throwsAsync(access(ask, acting), { code: 'INCIDENT_OVER' });
  await acts.recover(WHY, acting);
  await t.throwsAsync(access(ask, acting), { code: 'INCIDENT_NO_RESCUE' });
  await acts.rescue(WHY, acting);
  t.false(await letsIn());
  const { seen, until: end } = await access(ask, acting);
  const bytes = Buffer.from(seen!.bytes, 'base64');
  t.regex(bytes.toString(), new RegExp(`^${process.pid} parent`, 'm'));
  t.true(end <= Date.now() + 30 * 60_000);

  const transcript = await readFile(join(paths.consoles, seen!.transcript));
  t.is(createHash('sha256').update(transcript).digest('hex'), seen!.sha256);
  t.true(transcript.toString().includes(`${process.pid} parent`));
  const [opened, began, over, ...more] = await history();
  t.regex(opened!, /^until 20.*: it is slow$/);
  t.is(began, `processes; ${seen!.transcript}`);
  t.is(over, `over: ${bytes.length} bytes shown; ${seen!.transcript} has SHA-256 ${seen!.sha256}`);
  t.deepEqual(more, []);
  t.regex(node.log(), /ID incident 1 of \S+, operator:ann/);

  // What fails is recorded, too.
  await t.throwsAsync(access({ ...WHY, look: 'hash', disk: 'x' }, acting), { code: 'RESCUE_NO_DISK' });
  t.regex((await history()).at(-1)!, /^over: .*no disk x.*SHA-256/);
  t.true((await leave(WHY, acting)).changed);
  await opens(false);
  t.false((await leave(WHY, acting)).changed);
});

test.serial('it ends with the incident, and when the node turns out to be in other hands', async (t) => {
  const { acting, fleet, opens } = await house(t, await server(t));
  const ask = { ...WHY, look: null };
  await acts.recover(WHY, acting);
  await acts.rescue(WHY, acting);
  await access(ask, acting);
  await opens(true);
  await acts.end(WHY, acting);
  await opens(false);
  await t.throwsAsync(access(ask, acting), { code: 'INCIDENT_OVER' });

  await acts.recover(WHY, acting);
  await acts.rescue(WHY, acting);
  await access(ask, acting);
  await opens(true);
  await fence(
    fleet,
    NODE,
    { signal: 'operator', evidence: ['x'], reason: 'x' },
    { actor: 'operator:ann', at: Date.now() },
  );
  await t.throwsAsync(access(ask, acting), { code: 'INCIDENT_ROAD' });
});

test.serial(
  'a look that is under way is cut off when the access is closed, and that is recorded',
  async (t) => {
    const { acting, node, history } = await house(t, await server(t));
    await acts.recover(WHY, acting);
    await acts.rescue(WHY, acting);
    const asked = await slowRoot(t, node);
    const look = access({ ...WHY, look: 'hash', disk: 'sda' }, acting);
    const ended = t.throwsAsync(look, { code: 'RESCUE_CLOSED' });
    await asked(1);
    await leave(WHY, acting);
    await ended;
    t.true((await history()).some((line) => /^over: .*nobody may look.*SHA-256/.test(line)));
  },
);

test.serial(
  'who is revoked while the node shows something sees nothing of it, and of what they collect nothing is kept',
  async (t) => {
    t.timeout(120_000);
    const world = await elsewhere(t);
    const { acting, paths, node, history, fleet } = await house(t, world);
    await acts.recover(WHY, acting);
    await acts.rescue(WHY, acting);
    const asked = await slowRoot(t, node);
    for (const [times, name, operation, input] of [
      [1, 'bob', 'incident access', { ...WHY, look: 'hash', disk: 'sda' }],
      [2, 'eve', 'incident collect', { ...WHY, disks: [] }],
    ] as const) {
      const { say, serial } = await world.as({ name });
      const ended = t.throwsAsync(say(operation, input), { code: 'OPERATOR_REVOKED' });
      await asked(times);
      await new OperatorRegister(paths.keys).revoke(serial, { by: 'x', at: Date.now(), reason: 'left' });
      await ended;
    }
    t.true((await history()).some((line) => /^over: OPERATOR_REVOKED.*SHA-256/.test(line)));
    t.is(fleet.decisions.incidents.of(NODE)?.collected, undefined);
    t.deepEqual(await readdir(paths.evidence).catch(() => []), []);
  },
);

test.serial(
  'a node that is slow is not waited for: the look ends, and what is collected names it',
  async (t) => {
    const { acting, node, fleet, paths } = await house(t, await server(t));
    await acts.recover(WHY, acting);
    await acts.rescue(WHY, acting);
    const { incident, ...opened } = await openAccess(
      fleet,
      { id: NODE, name: 'n1' },
      {
        actor: 'operator:ann',
        at: Date.now(),
      },
    );
    t.truthy(incident);
    await slowRoot(t, node);
    const target = await targetsOf(fleet)(NODE);
    t.is(target.name, (await fleet.nodes.get(NODE))?.name, 'people read its name');
    const { signal } = new AbortController();
    const show = (request: RescueRequest) =>
      lookInto(target, { incident, ...opened }, request, { fleet, who: 'ann', signal, within: 3000 });
    await t.throwsAsync(show({ operation: 'look', look: 'kernel' }), { code: 'RESCUE_SLOW' });
    const record = (await fleet.nodes.get(NODE))!;
    const asked = { show, disks: [], signal, looks: 4000 };
    const { missing } = await collectOf({ fleet, folder: paths.evidence }, { record, incident }, asked, {
      actor: 'operator:ann',
      at: Date.now(),
    });
    t.is(missing.length, 7);
    t.regex(missing[0]!, /^journal: RESCUE_SLOW/);
    t.is(missing[6], 'event-log: the node took too long for what came before');
  },
);

test.serial(
  'another key than the one of this server is never used: who asks elsewhere gets a new one',
  async (t) => {
    const { acting, fleet } = await house(t, await server(t));
    await acts.recover(WHY, acting);
    await acts.rescue(WHY, acting);
    await access({ ...WHY, look: null }, acting);
    const authority = () => fleet.decisions.incidents.of(NODE)?.rescue?.access?.authority;
    const first = authority();
    await access({ ...WHY, look: null }, acting);
    t.is(authority(), first, 'the same for as long as it holds');
    const { decideIncident } = await import('../../../orchestrator/recovery/incidents.ts');
    const other = Buffer.from(
      generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x!,
      'base64url',
    ).toString('hex');
    await decideIncident(
      fleet,
      NODE,
      (now) => ({
        ...now!,
        rescue: { ...now!.rescue!, access: { authority: other, until: Date.now() + 1e6 } },
      }),
      { actor: 'operator:bob', at: Date.now() },
    );
    t.truthy((await access({ ...WHY, look: 'processes' }, acting)).seen);
    t.notRegex(authority()!, new RegExp(`${first}|${other}`));
  },
);

/** Names and texts in a tar file. */
async function unpacked(bytes: Buffer): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  async function* source() {
    yield bytes;
  }
  for await (const entry of readTar(source())) {
    const pieces: Uint8Array[] = [];
    for await (const piece of entry.body()) pieces.push(piece);
    found.set(entry.name, Buffer.concat(pieces).toString());
  }
  return found;
}

test.serial(
  'evidence: what servers know, and all that a node in rescue shows, in a file whose hash is decided',
  async (t) => {
    const { acting, fleet, paths } = await house(t, await server(t));
    const ask = { ...WHY, disks: [] };
    await t.throwsAsync(collect(ask, acting), { code: 'INCIDENT_NONE' });
    await acts.recover(WHY, acting);
    const first = await collect(ask, acting);
    t.deepEqual(first.missing, []);
    const known = await unpacked(Buffer.from((await take({ node: NODE }, acting)).tar, 'base64'));
    t.deepEqual([...known.keys()], ['incident.json', 'record.json', 'history.jsonl'], 'it runs its services');
    t.is(JSON.parse(known.get('record.json')!).id, NODE);
    t.regex(known.get('history.jsonl')!, /"action":"incident"/);

    await acts.rescue(WHY, acting);
    const second = await collect({ ...ask, disks: ['no such disk'] }, acting);
    const { file, tar } = await take({ node: NODE }, acting);
    t.is(file, second.file);
    const all = await unpacked(Buffer.from(tar, 'base64'));
    t.regex(all.get('node/processes')!, new RegExp(`^${process.pid} parent`, 'm'));
    t.true(all.has('node/network'));
    t.true(
      second.missing.some((why) => /^hash-1: .*no disk/.test(why)),
      `${second.missing}`,
    );
    t.deepEqual(fleet.decisions.incidents.of(NODE)?.collected, [first, second]);
    const shown = await evidence({ node: NODE }, acting);
    t.deepEqual(
      shown.collected.map(({ state }) => state),
      ['whole', 'whole'],
    );

    await writeFile(join(paths.evidence, second.file), 'forged');
    await t.throwsAsync(take({ node: NODE }, acting), { code: 'EVIDENCE_CHANGED' });
    await rm(join(paths.evidence, first.file));
    await t.throwsAsync(take({ node: NODE, file: first.file }, acting), { code: 'EVIDENCE_GONE' });
    await t.throwsAsync(take({ node: NODE, file: '../keys/order/order.key' }, acting), {
      code: 'EVIDENCE_NONE',
    });
    const states = (await evidence({ node: NODE }, acting)).collected.map(({ state }) => state);
    t.regex(states[0]!, /EVIDENCE_GONE|is not on this server/);
    t.regex(states[1]!, /EVIDENCE_CHANGED|is not what was collected/);
  },
);

test.serial(
  'evidence of a node that is fenced is what servers know: it is not asked, and the fence waits for nobody',
  async (t) => {
    const { acting, fleet, letsIn, paths } = await house(t, await server(t));
    const seen = { signal: 'measurement', evidence: ['strange PCR 11'], reason: 'x' };
    await fence(fleet, NODE, seen, { actor: 'recovery', at: Date.now() });
    const one = await collect({ ...WHY, disks: [] }, acting);
    t.false(await letsIn());
    const all = await unpacked(Buffer.from((await take({ node: NODE }, acting)).tar, 'base64'));
    t.deepEqual([...all.keys()], ['incident.json', 'record.json', 'history.jsonl']);
    t.regex(all.get('incident.json')!, /strange PCR 11/);
    t.like(fleet.decisions.incidents.of(NODE), { step: 'fenced', road: 'compromised', collected: [one] });
    for (let i = 1; i < 16; i += 1) await collect({ ...WHY, disks: [] }, acting);
    await t.throwsAsync(collect({ ...WHY, disks: [] }, acting), { code: 'EVIDENCE_FULL' });
    t.is((await readdir(paths.evidence)).length, 16, 'nothing was written in vain');
  },
);

test.serial(
  'evidence by itself: a node taken into rescue shows all of it once, and no person asked',
  async (t) => {
    const { acting, fleet, paths } = await house(t, await server(t));
    await fleet.sites.set('default', { evidence: 'collect' }, { actor: 'operator:ann', at: 1 });
    const stop = new AbortController();
    const kept = startEvidenceKeeper({
      ...{ fleet, folder: paths.evidence, site: 'default', log: silent, signal: stop.signal },
      times: { look: 50, again: 200 },
    });
    t.teardown(async () => {
      stop.abort();
      await kept;
    });
    await acts.recover(WHY, acting);
    await sleep(300);
    t.is(
      fleet.decisions.incidents.of(NODE)?.collected,
      undefined,
      'it runs its services: nobody looks into it',
    );
    await acts.rescue(WHY, acting);
    const all = () => fleet.decisions.incidents.of(NODE)?.collected ?? [];
    for (const last = performance.now() + 120_000; all().length === 0; await sleep(50))
      if (performance.now() > last) throw new Error('nothing was collected');
    const known = await unpacked(Buffer.from((await take({ node: NODE }, acting)).tar, 'base64'));
    t.regex(known.get('node/processes')!, new RegExp(`^${process.pid} parent`, 'm'));
    await sleep(500);
    t.like(all(), { length: 1, 0: { by: 'recovery' } });
  },
);

test.serial('nodes in rescue that answer slowly keep no evidence of a fenced one waiting', async (t) => {
  const world = await server(t);
  const { acting, fleet, paths, node } = await house(t, world);
  await fleet.sites.set('default', { evidence: 'collect' }, { actor: 'operator:ann', at: 1 });
  const other = enrolment(2);
  await world.admit(other);
  await acts.recover(WHY, acting);
  const asked = await slowRoot(t, node);
  const stop = new AbortController();
  const kept = startEvidenceKeeper({
    ...{ fleet, folder: paths.evidence, site: 'default', log: silent, signal: stop.signal },
    ...{ times: { look: 50, again: 200 }, atOnce: 1 },
  });
  t.teardown(async () => {
    stop.abort();
    await kept;
  });
  await acts.rescue(WHY, acting);
  await asked(1);
  const seen = { signal: 'measurement', evidence: ['strange PCR 11'], reason: 'x' };
  await fence(fleet, other.id, seen, { actor: 'recovery', at: Date.now() });
  await until(() => fleet.decisions.incidents.of(other.id)?.collected?.length === 1);
  t.is(fleet.decisions.incidents.of(NODE)?.collected, undefined, 'and it is still asked');
});
