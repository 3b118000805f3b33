/**
 * The HTTPS side of simulated nodes: the real enrolment server on loopback, and for each boot of each node a key and a
 * certificate of the fleet's own nodes CA, with which it sends its heartbeats over mutual TLS, as the agent does.
 *
 * What is left out is the dialogue before the certificate: it needs a TPM for each node.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '../../base/log.ts';
import type { IssuedCertificate, NodeDirectory } from '../../bootserver/directory.ts';
import { startEnrolment } from '../../bootserver/enroll/server.ts';
import { BootServer, type Credentials } from '../../image/agent/member/boot-server.ts';
import { loadAuthority, rootPem, spkiOf } from '../../keys/authority.ts';
import { heartbeatReply } from '../../protocol/enrolment/heartbeat.ts';
import { NODE_URI, PATHS, SERVER_NAME } from '../../protocol/enrolment/messages.ts';
import { heartbeatOf, type SimHttps, simAddress } from './enrolment.ts';
import type { SimNode } from './node.ts';

const HOUR = 3_600_000;

export type SimHttpsOptions = {
  /** The fleet's keys, as `keys init` makes them. */
  keys: string;
  directory: NodeDirectory;
  /** Seconds between two heartbeats of a node. */
  every: number;
  signal: AbortSignal;
};

type Held = {
  bootId: string;
  issued: IssuedCertificate;
  credentials: Credentials;
  server: BootServer | null;
};

export async function startSimHttps({ keys, directory, every, signal }: SimHttpsOptions): Promise<SimHttps> {
  const [nodes, servers, root] = await Promise.all([
    loadAuthority(keys, 'nodes'),
    loadAuthority(keys, 'servers'),
    rootPem(keys),
  ]);
  const life = () => ({ notBefore: new Date(Date.now() - HOUR), notAfter: new Date(Date.now() + 24 * HOUR) });
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const leaf = servers.issue({
    spki: spkiOf(own),
    commonName: 'simulated boot server',
    dnsNames: [SERVER_NAME],
    usage: 'server',
    ...life(),
  });
  const stop = new AbortController();
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port: 0 },
    serverKey: own,
    serverChainPem: leaf.pem + servers.chainPem,
    nodesAuthority: nodes,
    rootPem: root,
    directory,
    log: createLogger('sim', 'silent'),
    heartbeatSeconds: every,
    signal: AbortSignal.any([signal, stop.signal]),
  });
  const url = `https://127.0.0.1:${server.port}`;
  const held = new Map<string, Held>();
  let beats = 0;

  const send = async (node: SimNode): Promise<void> => {
    const mine = held.get(node.id);
    if (mine === undefined) return;
    // From the node's own address: a boot server bounds what one address may hold.
    mine.server ??= new BootServer(url, root, mine.credentials, simAddress(node.number));
    await mine.server.post(PATHS.heartbeat, heartbeatOf(node), heartbeatReply);
    beats += 1;
  };
  const goOn = async (node: SimNode, bootId: string): Promise<void> => {
    for (;;) {
      // Spread, so that a fleet that booted at once does not beat at once.
      const wait = every * 1000 * (0.75 + Math.random() / 2);
      await sleep(wait, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted || node.bootId !== bootId || !node.up) return;
      // A lost one is made up for by the next one.
      await send(node).catch(() => {});
    }
  };
  return {
    certify(node) {
      const known = held.get(node.id);
      if (known?.bootId === node.bootId) return known.issued;
      known?.server?.close();
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const spki = spkiOf(privateKey);
      const { pem, serial, notBefore, notAfter } = nodes.issue({
        spki,
        commonName: node.id.slice(0, 64),
        uris: [`${NODE_URI}${node.id}`],
        usage: 'client',
        ...life(),
      });
      const issued = {
        serial,
        spkiDigest: createHash('sha256').update(spki).digest('hex'),
        notBefore,
        notAfter,
      };
      const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      const credentials = { key, chain: pem + nodes.chainPem };
      held.set(node.id, { bootId: node.bootId, issued, credentials, server: null });
      return issued;
    },
    async beat(node) {
      await send(node);
      void goOn(node, node.bootId);
    },
    get beats() {
      return beats;
    },
    async close() {
      for (const { server } of held.values()) server?.close();
      stop.abort();
      await server.closed;
    },
  };
}
