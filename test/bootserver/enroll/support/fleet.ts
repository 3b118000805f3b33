import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../../../base/log.ts';
import { type EnrolmentOptions, startEnrolment } from '../../../../bootserver/enroll/server.ts';
import {
  type Authority,
  type LeafRequest,
  loadAuthority,
  rootPem,
  spkiOf,
} from '../../../../keys/authority.ts';
import { SERVER_NAME } from '../../../../protocol/enrolment/messages.ts';
import { keysIn } from '../../../support/keys.ts';
import { MemoryDirectory } from './directory.ts';

const DAY = 24 * 3600_000;

export type Leaf = { key: KeyObject; keyPem: string; chain: string; serial: string };

/** The keys of one fleet, as the real `keys init` makes them. */
export class Fleet {
  readonly folder: string;
  readonly root: string;
  readonly authorities: Record<'nodes' | 'servers' | 'operators', Authority>;

  constructor(folder: string, root: string, authorities: Fleet['authorities']) {
    this.folder = folder;
    this.root = root;
    this.authorities = authorities;
  }

  static async make(fleet?: 'theirs'): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-enroll-'));
    const keys = join(folder, 'keys');
    await keysIn(keys, fleet);
    const [nodes, servers, operators] = await Promise.all([
      loadAuthority(keys, 'nodes'),
      loadAuthority(keys, 'servers'),
      loadAuthority(keys, 'operators'),
    ]);
    return new Fleet(folder, await rootPem(keys), { nodes, servers, operators });
  }

  leaf(authority: Authority, request: Partial<LeafRequest> & Pick<LeafRequest, 'usage'>): Leaf {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { pem, serial } = authority.issue({
      spki: spkiOf(privateKey),
      commonName: 'test',
      notBefore: new Date(Date.now() - DAY),
      notAfter: new Date(Date.now() + DAY),
      ...request,
    });
    const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { key: privateKey, keyPem, chain: pem + authority.chainPem, serial };
  }

  serverLeaf(): Leaf {
    return this.leaf(this.authorities.servers, { usage: 'server', dnsNames: [SERVER_NAME] });
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

export type TestServer = { url: string; port: number; directory: MemoryDirectory; stop(): Promise<void> };

/** The real server on loopback. */
export async function serve(
  fleet: Fleet,
  overrides: Partial<EnrolmentOptions> & { directory?: MemoryDirectory } = {},
): Promise<TestServer> {
  const directory = overrides.directory ?? new MemoryDirectory();
  const { key, chain } = fleet.serverLeaf();
  const stop = new AbortController();
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port: 0 },
    serverKey: key,
    serverChainPem: chain,
    nodesAuthority: fleet.authorities.nodes,
    rootPem: fleet.root,
    log: createLogger('test', 'silent'),
    heartbeatSeconds: 30,
    hold: { most: 2000, look: 20 },
    ...overrides,
    directory,
    signal: stop.signal,
  });
  return {
    url: `https://127.0.0.1:${server.port}`,
    port: server.port,
    directory,
    async stop() {
      stop.abort();
      await server.closed;
    },
  };
}
