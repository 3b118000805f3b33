import { Duplex } from 'node:stream';
import test from 'ava';
import { deliverOrder } from '../../../orchestrator/orders/deliver.ts';
import type { LinkPool } from '../../../orchestrator/transport/pool.ts';
import { LinkSession } from '../../../orchestrator/transport/session.ts';
import { encodeFrame } from '../../../protocol/link/frame.ts';
import type { FromNode } from '../../../protocol/link/messages.ts';
import { orderEnvelope } from '../../../protocol/order-envelope.ts';
import { HandClock, settle } from '../transport/clock.ts';

/** An order on its way to a node that says only what it is told to say. */
function delivering() {
  const clock = new HandClock();
  const stream = new Duplex({ read: () => {}, write: (_, __, done) => done() });
  const session = new LinkSession(stream, clock);
  const pool = {
    request: async (_: string, op: never, args: never, options: object) => ({
      result: await session.request(op, args, options),
    }),
  } as unknown as Pick<LinkPool, 'request'>;
  const envelope = orderEnvelope(Buffer.from('an order'), 'key', Buffer.from('a signature'));
  const outcome = { code: 'under way' };
  void deliverOrder(pool, 'tpm-1', envelope, {}).then(
    () => {
      outcome.code = 'delivered';
    },
    ({ code }: { code: string }) => {
      outcome.code = code;
    },
  );
  const say = async (message: FromNode) => {
    stream.push(encodeFrame(message));
    await settle();
  };
  return { clock, outcome, say };
}

test('a node has a minute of silence for an order, because its TPM may be slow; then it is given up', async (t) => {
  const { clock, outcome } = delivering();
  await clock.pass(59_999);
  t.is(outcome.code, 'under way');
  await clock.pass(1);
  t.is(outcome.code, 'LINK_TIMEOUT');
  t.is(clock.timers, 0);
});

test('an answer that comes late in that minute is an answer', async (t) => {
  const { clock, outcome, say } = delivering();
  await clock.pass(59_999);
  await say({ kind: 'result', id: 1, result: { epoch: 1, digest: 'd'.repeat(64), accepted: 'new' } });
  t.is(outcome.code, 'delivered');
  await clock.pass(60_000);
  t.is(outcome.code, 'delivered');
});
