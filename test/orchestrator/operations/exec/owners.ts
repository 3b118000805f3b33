/** An owner elsewhere, the real door, the real signer, and a node that is real from its link handlers to crun. */
import { mkdir, readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { keyLayout } from '../../../../keys/layout.ts';
import { ask } from '../../../../orchestrator/operations/client.ts';
import type { Ran } from '../../../../orchestrator/operations/exec/acts.ts';
import type { House } from '../../../../orchestrator/operations/operation.ts';
import { signerFiles } from '../../../../orchestrator/signer/files.ts';
import { SIGNER_LIMITS } from '../../../../orchestrator/signer/judge.ts';
import { Ledger } from '../../../../orchestrator/signer/ledger.ts';
import { serveSigner } from '../../../../orchestrator/signer/serve.ts';
import { ChunkDecoder } from '../../../../protocol/chunks.ts';
import { readOrderKeys } from '../../../../protocol/order-envelope.ts';
import { commands, SHOP } from '../../../image/agent/root/services/exec/commands.ts';
import { silent } from '../../fleet/support.ts';
import { elsewhere, wish } from '../elsewhere.ts';

export async function owners(t: ExecutionContext) {
  const node = await commands(t);
  const asked: string[] = [];
  const gone = new AbortController();
  const request = async (id: string, op: string, args: never, options: { signal?: AbortSignal } = {}) => {
    asked.push(op);
    if (id !== node.world.nodeId) throw new Error(`another node was asked: ${id}`);
    const signal = AbortSignal.any([gone.signal, ...(options.signal ? [options.signal] : [])]);
    const handler = node.execs.handlers[op as 'exec-read'];
    const result = await handler(args, { signal, progress: () => {} });
    return { result };
  };
  const pool = { request } as unknown as NonNullable<ReturnType<House['links']>>;
  const world = await elsewhere(t, () => pool);
  const { paths, as, member, release } = world;
  const id = await member(1, []);
  const other = await member(2, []);
  await release('shop:1');
  node.world.nodeId = id;
  node.world.keys = readOrderKeys(await readFile(keyLayout(paths.keys).order.pub, 'utf8'));
  const files = signerFiles(paths);
  await mkdir(files.folder, { recursive: true, mode: 0o700 });
  const ledger = await Ledger.open(files.ledger, Date.now());
  const served = { now: [{ name: SHOP, version: '1', sha256: 'a'.repeat(64), size: 1 }], ways: [] };
  const order = { epoch: 1, digest: 'd'.repeat(64), at: Date.now(), image: null, floor: null, wipe: null };
  await ledger.append({ node: id, ...order, served });
  await ledger.close();
  const stop = new AbortController();
  const { done } = await serveSigner({ paths, limits: SIGNER_LIMITS, log: silent, signal: stop.signal });
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  const core = await as({ name: 'ann' });
  await core.say('slice create', wish('probe', 1, { where: { not: [other] } }));
  const eve = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  await eve.say('slice run', { name: 'probe', services: ['shop:1'] });

  /** Somebody runs a command. */
  const runs = (who: Pick<typeof eve, 'way' | 'credential'>, command: string[], more: object = {}) => {
    const got = { out: '', err: '', opened: null as object | null };
    const opened = Promise.withResolvers<Duplex>();
    opened.promise.catch(() => {});
    const onOpened = (what: object, bytes: Duplex) => {
      got.opened = what;
      const decoder = new ChunkDecoder();
      bytes.on('data', (came: Buffer) => {
        for (const { stream, bytes: piece } of decoder.push(came))
          if (stream === 'out' || stream === 'err') got[stream] += piece.toString();
      });
      opened.resolve(bytes);
    };
    const input = { name: 'probe', node: id, command, ...more };
    let socket: Duplex | undefined;
    const open = async () => {
      socket = await who.way.open();
      return socket;
    };
    const over = ask(
      { ...who.way, open },
      { credential: who.credential, onOpened },
      'slice exec',
      input,
    ).then((answered) => ('result' in answered ? (answered.result as Ran) : null));
    over.catch(opened.reject);
    return { got, opened: opened.promise, over, leave: () => void socket?.destroy() };
  };
  const history = async () =>
    (await world.fleet.audit.read({ node: id }))
      .filter(({ action }) => action === 'exec')
      .map(({ actor, reason }) => `${actor} ${reason}`);
  return { ...world, node, id, other, core, eve, runs, history, asked, gone };
}
