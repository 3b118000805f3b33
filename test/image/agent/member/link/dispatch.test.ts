import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../../../base/error.ts';
import { Dispatcher } from '../../../../../image/agent/member/link/dispatch.ts';
import type { LinkHandlers } from '../../../../../image/agent/member/link/handlers.ts';
import {
  type FromNode,
  fromNode,
  LINK_LIMITS,
  OPS,
  type OpName,
} from '../../../../../protocol/link/messages.ts';
import { BOOT, handlersOf } from './handlers.ts';

const OP_NAMES = Object.keys(OPS) as readonly OpName[];

type Bench = {
  dispatcher: Dispatcher;
  sent: FromNode[];
  faults: string[];
  /** Sends a request and waits for its answer. */
  ask(op: string, args: unknown, id?: number): Promise<FromNode>;
};

function bench(own: Partial<LinkHandlers> = {}, canSend = () => true): Bench {
  const sent: FromNode[] = [];
  const faults: string[] = [];
  const wakers: (() => void)[] = [];
  const dispatcher = new Dispatcher({
    handlers: handlersOf('tpm-1', own),
    send: (message) => {
      sent.push(message);
      for (const wake of wakers.splice(0)) wake();
    },
    canSend,
    onFault: (op) => faults.push(op),
  });
  let lastId = 0;
  const ask = async (op: string, args: unknown, id = ++lastId): Promise<FromNode> => {
    dispatcher.receive({ kind: 'request', id, op, args });
    for (;;) {
      const answer = sent.find((message) => message.id === id && message.kind !== 'progress');
      if (answer !== undefined) return answer;
      await new Promise<void>((resolve) => wakers.push(resolve));
    }
  };
  return { dispatcher, sent, faults, ask };
}

const codeOf = (message: FromNode): string => (message.kind === 'error' ? message.error.code : message.kind);

const ARGS: Record<(typeof OP_NAMES)[number], object> = {
  hello: { version: 1 },
  status: {},
  usage: {},
  flows: { kept: null },
  logs: { name: 'fleet/web', age: null, lines: 10 },
  exec: { grant: {}, slice: 'probe' },
  'exec-read': { session: 'a'.repeat(32) },
  'exec-write': { session: 'a'.repeat(32), bytes: '' },
  order: { envelope: {} },
  stage: { epoch: 3 },
  activate: { epoch: 3, bootId: BOOT },
  cancel: { epoch: 3 },
  mirrors: { files: [] },
  forgive: { epoch: 3 },
  restart: { epoch: 3, bootId: BOOT },
  config: { epoch: 3, document: null, apply: true },
};

test('every operation of the table reaches its handler with its arguments', async (t) => {
  for (const op of OP_NAMES) {
    let given: unknown;
    const { ask } = bench({
      [op]: (args: unknown) => {
        given = args;
        return {};
      },
    });
    t.is(codeOf(await ask(op, ARGS[op])), 'result', op);
    t.deepEqual(given, ARGS[op]);
  }
});

test('what is not in the table is refused, names of the prototype included', async (t) => {
  const { ask } = bench();
  for (const op of ['shell', 'fence', 'toString', '__proto__', 'constructor', ''])
    t.is(codeOf(await ask(op, {})), 'LINK_OP_UNKNOWN', op);
});

test('arguments that the table does not know are refused, not ignored', async (t) => {
  const { ask } = bench();
  for (const op of OP_NAMES) {
    t.is(codeOf(await ask(op, { ...ARGS[op], force: true })), 'LINK_ARGS', op);
    t.is(codeOf(await ask(op, null)), 'LINK_ARGS', op);
  }
  t.is(codeOf(await ask('stage', { epoch: '3' })), 'LINK_ARGS');
  t.is(codeOf(await ask('stage', {})), 'LINK_ARGS');
});

test('nothing happens under another epoch, and no restart in another boot', async (t) => {
  let done = 0;
  const count = () => {
    done += 1;
    return {} as never;
  };
  const { ask } = bench({ stage: count, activate: count, cancel: count, forgive: count, restart: count });
  for (const op of ['stage', 'activate', 'cancel', 'forgive', 'restart'] as const) {
    t.is(codeOf(await ask(op, { ...ARGS[op], epoch: 2 })), 'LINK_EPOCH_OLD', op);
    t.is(codeOf(await ask(op, { ...ARGS[op], epoch: 4 })), 'LINK_EPOCH_UNKNOWN', op);
  }
  for (const op of ['activate', 'restart'])
    t.is(codeOf(await ask(op, { epoch: 3, bootId: 'the boot before' })), 'LINK_RESTARTED', op);
  t.is(done, 0);
});

test('a coded refusal reaches the orchestrator; what else is thrown stays on the node', async (t) => {
  const { ask, faults } = bench({
    stage: () => {
      throw new BootwaveError({ code: 'STAGE_NO_SPACE', what: 'full\n\u001b[2J', next: 'drop one' });
    },
    status: () => {
      throw new Error('secret');
    },
  });
  t.deepEqual(await ask('stage', { epoch: 3 }), {
    kind: 'error',
    id: 1,
    error: { code: 'STAGE_NO_SPACE', what: 'full [2J', next: 'drop one' },
  });
  const fault = await ask('status', {});
  t.is(codeOf(fault), 'LINK_FAULT');
  t.notRegex(JSON.stringify(fault), /secret/);
  t.deepEqual(faults, ['status']);
});

test('requests are answered as they finish, each once, and an id is free again afterwards', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { ask, dispatcher, sent } = bench({
    stage: async () => {
      await promise;
      return { version: '1.1', file: 'f', already: false };
    },
  });
  const slow = ask('stage', { epoch: 3 }, 1);
  await ask('status', {}, 2);
  t.is(dispatcher.inFlight, 1);
  t.throws(() => dispatcher.receive({ kind: 'request', id: 1, op: 'status', args: {} }), {
    code: 'LINK_ID_IN_USE',
  });
  resolve();
  await slow;
  t.deepEqual(
    sent.map(({ id }) => id),
    [2, 1],
  );
  t.is(dispatcher.inFlight, 0);
});

test('an abort and a cut reach the handler by its signal', async (t) => {
  const reasons: string[] = [];
  const hang = {
    stage: (_: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason.code);
          reject(signal.reason);
        });
      }),
  };
  const { ask, dispatcher } = bench(hang);
  const first = ask('stage', { epoch: 3 }, 1);
  dispatcher.receive({ kind: 'abort', id: 1 });
  t.is(codeOf(await first), 'LINK_ABORTED');
  const second = ask('stage', { epoch: 3 }, 2);
  dispatcher.receive({ kind: 'abort', id: 1 });
  dispatcher.close();
  await second;
  t.deepEqual(reasons, ['LINK_ABORTED', 'LINK_CUT']);
});

test('no more than the limit is worked on at once', async (t) => {
  const { ask, dispatcher } = bench({ stage: () => new Promise(() => {}) });
  for (let id = 1; id <= LINK_LIMITS.inFlight; id++)
    dispatcher.receive({ kind: 'request', id, op: 'stage', args: { epoch: 3 } });
  t.is(codeOf(await ask('status', {}, 99)), 'LINK_BUSY');
  t.is(dispatcher.inFlight, LINK_LIMITS.inFlight);
});

test('progress is told while someone waits and reads, and never after the answer', async (t) => {
  let reads = true;
  let later = () => {};
  const { ask, sent } = bench(
    {
      stage: (_, { progress }) => {
        progress({ version: '1.1', done: 1, total: 2 });
        reads = false;
        progress({ version: '1.1', done: 2, total: 2 });
        reads = true;
        later = () => progress({ version: '1.1', done: 2, total: 2 });
        return { version: '1.1', file: 'f', already: false };
      },
    },
    () => reads,
  );
  await ask('stage', { epoch: 3 });
  later();
  t.deepEqual(
    sent.map((message) => (message.kind === 'progress' ? message.progress.done : message.kind)),
    [1, 'result'],
  );
});

test('whatever comes, what goes out is what the protocol says', async (t) => {
  const op = fc.oneof(fc.constantFrom<string>(...OP_NAMES), fc.string({ maxLength: 40 }));
  const request = fc.record({
    kind: fc.constantFrom('request', 'abort', 'result'),
    id: fc.oneof(fc.integer({ min: -1, max: 20 }), fc.anything()),
    op,
    args: fc.oneof(fc.record({ epoch: fc.integer({ min: 2, max: 4 }) }), fc.jsonValue()),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(request, fc.anything()), { maxLength: 10 }), async (messages) => {
      const { dispatcher, sent } = bench();
      for (const message of messages) {
        try {
          dispatcher.receive(message);
        } catch (error) {
          if (!(error instanceof BootwaveError)) return false;
        }
      }
      await new Promise(setImmediate);
      return sent.every((message) => fromNode.safeParse(message).success) && dispatcher.inFlight === 0;
    }),
  );
  t.pass();
});
