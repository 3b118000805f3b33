/** The machine with the server is lost; nodes come back to what was restored elsewhere, and nobody visits them. Real TLS. */
import { generateKeyPairSync } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { request } from 'node:https';
import test from 'ava';
import { loadAuthority, rootPem, spkiOf } from '../../../keys/authority.ts';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import { NODE_URI, PATHS, SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { serverOn } from '../authorities/support.ts';
import { enrolment } from '../fleet/support.ts';
import { by, fleetFor, opened } from './support.ts';

const HOUR = 3600_000;

test('certificates from before the backup go on, later ones are had anew without a person, and who was put out stays out', async (t) => {
  const made = await fleetFor(t);
  const { fleet, paths } = made;
  const first = await serverOn(t, paths, fleet);
  const { port } = first;
  const root = await rootPem(paths.keys);
  const nodes = await loadAuthority(paths.keys, 'nodes');
  /** What a node holds in memory: key and certificate, as the server records it. */
  const certify = async (one: Enrolment, directory: typeof first.directory) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const life = { notBefore: new Date(Date.now() - HOUR), notAfter: new Date(Date.now() + HOUR) };
    const spki = spkiOf(privateKey);
    const leaf = nodes.issue({
      spki,
      commonName: one.id,
      uris: [NODE_URI + one.id],
      usage: 'client',
      ...life,
    });
    const facts = { serial: leaf.serial, spkiDigest: one.spkiDigest };
    await directory.recordCertificate(one.id, {
      ...facts,
      notBefore: Number(life.notBefore),
      notAfter: Number(life.notAfter),
    });
    return {
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      cert: leaf.pem + nodes.chainPem,
    };
  };
  const beat = (one: Enrolment, held: { key: string; cert: string }) =>
    new Promise<number>((resolve, reject) => {
      const body = JSON.stringify({ running: one.running, uptime: 60, healthy: true, reason: '' });
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const where = { host: '127.0.0.1', port, path: PATHS.heartbeat, method: 'POST', agent: false, headers };
      request({ ...where, ...held, ca: root, servername: SERVER_NAME }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
      })
        .on('error', reject)
        .end(body);
    });
  const join = async (n: number) => {
    const one = enrolment(n);
    await first.directory.enrol(one);
    await fleet.approve(one.id, one.words, by);
    return { one, held: await certify(one, first.directory) };
  };
  const early = await join(1);
  const renews = await join(2);
  const stolen = await join(3);
  for (const { one, held } of [early, renews, stolen]) t.is(await beat(one, held), 200);
  const { file } = await made.backup();
  // After the backup: one has another boot, one is banned, one is new.
  const rebooted = enrolment(2, 2);
  t.is((await first.directory.enrol(rebooted)).state, 'approved');
  const later = await certify(rebooted, first.directory);
  t.is(await beat(rebooted, later), 200);
  await banNode(fleet, first.bans.set, stolen.one.id, 'stolen', by);
  await first.bans.look();
  const late = await join(4);
  t.is(await beat(late.one, late.held), 200);
  await first.end();

  const { paths: there } = await made.restored(file, { survivors: [paths.root] });
  await made.close();
  await rm(paths.root, { recursive: true });
  const after = await opened(t, there);
  const second = await serverOn(t, there, after.fleet, port);
  t.is(await beat(early.one, early.held), 200, 'the same certificate');
  t.like(await after.fleet.nodes.get(early.one.id), { state: 'healthy' });
  // Its certificate is of this fleet, and this server has not heard of it: it proves itself anew, as after each restart.
  t.not(await beat(rebooted, later), 200);
  const again = enrolment(2, 3);
  t.is((await second.directory.enrol(again)).state, 'approved', 'recognised by its TPM');
  t.is(await beat(again, await certify(again, second.directory)), 200);
  t.not(await beat(stolen.one, stolen.held), 200, 'banned after the backup; the old disk knew');
  t.is((await second.directory.enrol(enrolment(3, 2))).state, 'rejected');
  const newest = enrolment(4, 2);
  await second.directory.enrol(newest);
  const { state } = await second.directory.decisionOf(newest.id, newest.spkiDigest);
  t.is(state, 'approved', 'let in after the backup; that is a decision, and the old disk knew');
});
