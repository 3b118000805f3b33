/** All that others get of the fleet inside an instance: its node, whether it is well; the first who asks, a certificate. */
import { createPublicKey } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { messageOf } from '../../base/error.ts';
import { createFileAtomic, exists } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { Turns } from '../../base/turns.ts';
import { within } from '../../base/wait.ts';
import type { Counts } from '../../orchestrator/fleet/overview.ts';
import { ask, socketOf } from '../../orchestrator/operations/client.ts';
import { CLAIM_PATH } from './claim.ts';

/** Milliseconds: less than a health check waits. */
const PATIENCE = 4_000;
/** Milliseconds for a whole request, and between two looks for those that take longer. */
const TIMES = { requestTimeout: PATIENCE, connectionsCheckingInterval: 1_000 } as const;
/** Bytes of a public key, as PEM. */
const MOST = 1024;
const DAYS = 90;

type Answer = { status: number; text: string };

/** @returns it, listening on all addresses */
export async function openInnerDoor(paths: DataPaths, port: number): Promise<Server> {
  const claims = new Turns();
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const { method, url } = request;
    if (method === 'GET' && url === '/health') return health(paths);
    if (method !== 'POST' || url !== CLAIM_PATH) return { status: 404, text: 'nothing is here' };
    const key = await bodyOf(request);
    // One after the other, so that one of them is the first.
    return key === null || !isKey(key)
      ? { status: 400, text: 'that is no public key of ECDSA on P-256' }
      : claims.take(() => claim(paths, key));
  };
  const server = createServer(TIMES, async (request, response) => {
    const { status, text } = await answer(request).catch(
      (error: unknown): Answer => ({ status: 503, text: messageOf(error) }),
    );
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(text);
  });
  // The health check of the node comes through, whoever else keeps connections open.
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, resolve);
  });
  return server;
}

/** Well: its server answers, and says that one of its nodes is healthy at least. */
async function health(paths: DataPaths): Promise<Answer> {
  const { counts } = (await asked(paths, 'node list', {})) as { counts: Counts };
  const { healthy, registered } = counts;
  return { status: healthy > 0 ? 200 : 503, text: `${healthy} of ${registered} nodes are healthy` };
}

/** The first key that comes is its admin's, for good: nobody else has a way in, and nothing real is in it. */
async function claim(paths: DataPaths, publicKey: string): Promise<Answer> {
  const file = `${paths.root}.claimed`;
  if (await exists(file)) return { status: 409, text: 'it is claimed' };
  const input = { name: 'owner', role: 'admin', sites: [], days: DAYS, publicKey };
  const { chain } = (await asked(paths, 'operator add', input)) as { chain: string };
  // Last: who was killed before that has an admin who got no answer, and is claimed again.
  await createFileAtomic(file, '');
  return { status: 200, text: chain };
}

function isKey(pem: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey({
      key: pem,
      format: 'pem',
      type: 'spki',
    });
    return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    return false;
  }
}

async function asked(paths: DataPaths, operation: string, input: object): Promise<unknown> {
  const answered = ask(socketOf(paths), { credential: null }, operation, input);
  const done = await within(answered, PATIENCE, 'its server has not answered');
  return (done as { result: unknown }).result;
}

/** Read to its end, or there would be no answer. @returns null: it is too long */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  let text = '';
  for await (const piece of request.setEncoding('latin1')) if (text.length <= MOST) text += piece;
  return text.length <= MOST ? text : null;
}
