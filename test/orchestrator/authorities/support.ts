/** A boot server as `up` puts it together, as far as certificates go: real Redis, real TLS, real log of decisions. */

import { X509Certificate } from 'node:crypto';
import { connect as connectTls } from 'node:tls';
import type { ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { startEnrolment } from '../../../bootserver/enroll/server.ts';
import { authorityId, rootPem } from '../../../keys/authority.ts';
import { LoadedAuthorities } from '../../../orchestrator/authorities/loaded.ts';
import { reportServer } from '../../../orchestrator/authorities/servers.ts';
import type { DecisionKeeper } from '../../../orchestrator/fleet/decisions/keeper.ts';
import { watchDecisions } from '../../../orchestrator/fleet/decisions/watch.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import type { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { bansOf } from '../../../orchestrator/operators/bans-of.ts';
import { keepIdentity, serverIdentity } from '../../../orchestrator/up/server-certificate.ts';
import { SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { anyImage, pcr11, silent } from '../fleet/support.ts';

/** Seconds. */
export const BEAT = 0.3;
export const RENEW_WITHIN = 2;

export async function keeperOn(paths: DataPaths, fleet: Fleet): Promise<DecisionKeeper> {
  const keeper = await bansOf(paths, fleet, silent);
  await keeper.look();
  return keeper;
}

export async function serverOn(t: ExecutionContext, paths: DataPaths, fleet: Fleet, port = 0) {
  const stop = new AbortController();
  const { signal } = stop;
  const bans = await keeperOn(paths, fleet);
  const authorities = await LoadedAuthorities.open(paths.keys, bans, silent, signal);
  const make = () => serverIdentity(authorities.signing('servers'), '127.0.0.1');
  let identity = await make();
  const directory = new FleetDirectory({
    ...anyImage,
    fleet,
    site: 'default',
    defaultImage: async () => '1.0',
    pcr11,
    bans,
    log: silent,
  });
  const root = await rootPem(paths.keys);
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port },
    serverKey: identity.key,
    serverChainPem: identity.chainPem,
    nodesAuthority: authorities.nodes,
    renewWithin: RENEW_WITHIN,
    rootPem: root,
    directory,
    bans,
    log: silent,
    heartbeatSeconds: BEAT,
    hold: { most: 1000, look: 50 },
    signal,
  });
  const present = (next: typeof identity) => {
    identity = next;
    server.present(next.key, next.chainPem);
  };
  const kept = keepIdentity(identity, make, present, signal);
  const report = reportServer(
    fleet.redis,
    () => ({ loaded: authorities.ids, shows: identity.issuer }),
    signal,
  );
  authorities.onChange(async () => {
    if (identity.issuer === authorities.signing('servers').id) present(identity);
    else await kept.renew();
    await report.tell();
  });
  await report.tell();
  const watching = watchDecisions(bans, fleet, { signal, log: silent, every: 50 });
  const end = async () => {
    stop.abort();
    await Promise.allSettled([server.closed, watching, report.done]);
  };
  t.teardown(end);
  return { port: server.port, root, authorities, bans, directory, end };
}

/** Id of the servers CA whose certificate a new connection is shown. */
export function caShown(port: number, root: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: root, servername: SERVER_NAME }, () => {
      const { issuerCertificate } = socket.getPeerCertificate(true);
      resolve(authorityId(new X509Certificate(issuerCertificate.raw)));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
