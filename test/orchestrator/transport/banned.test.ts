/** A banned node's link over a real sshd: what `bootwave up` does with the pool when it hears of a ban. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { createLinkServer } from '../../../image/agent/member/link/server.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { linkFailure } from '../../../orchestrator/transport/errors.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import { handlersOf, quiet } from '../../image/agent/member/link/handlers.ts';
import { keysIn } from '../../support/keys.ts';
import { isRoot, nodeSshd } from './sshd.ts';

const NODE = 'tpm-0a1b';
const rooted = isRoot ? test : test.skip;

rooted('the link of a banned node is cut under a request, and none is opened again', async (t) => {
  const keys = await mkdtemp(join(tmpdir(), 'bootwave-test-banned-'));
  t.teardown(() => rm(keys, { recursive: true, force: true }));
  await keysIn(keys);
  const node = await nodeSshd(await readFile(keyLayout(keys).ssh.pub, 'utf8'));
  t.teardown(() => node.remove());
  let asked = () => {};
  const underWay = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const never = () => {
    asked();
    return new Promise<never>(() => {});
  };
  const { socketPath } = node;
  const agent = await createLinkServer({
    socketPath,
    handlers: handlersOf(NODE, { status: never }),
    log: quiet,
  });
  t.teardown(() => agent.close());
  let banned = false;
  const lost: string[] = [];
  const pool = new LinkPool({
    privateKey: await readFile(keyLayout(keys).ssh.key),
    async resolve(id) {
      if (banned) throw new BootwaveError({ code: 'NODE_NOT_MEMBER', what: 'quarantined' });
      return node.target(id);
    },
    onLost: (id) => lost.push(id),
  });
  t.teardown(() => pool.close());

  const request = t.throwsAsync(pool.request(NODE, 'status', {}));
  await underWay;
  t.is(pool.load.open, 1);
  banned = true;
  pool.drop(NODE, linkFailure('LINK_CLOSED', `${NODE} is banned`));
  t.like(await request, { code: 'LINK_CLOSED', what: `${NODE} is banned` });
  t.like(await t.throwsAsync(pool.request(NODE, 'status', {}, { connectWithin: 60_000 })), {
    code: 'NODE_NOT_MEMBER',
  });
  t.like(pool.load, { open: 0, opening: 0, waiting: 0 });
  t.deepEqual(lost, [], 'that was our doing');
});
