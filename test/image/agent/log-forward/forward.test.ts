import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { forward } from '../../../../image/agent/log-forward/forward.ts';
import { openWay, type Way } from '../../../../image/agent/log-forward/send.ts';
import { framed, MOST_BYTES, toSyslog } from '../../../../image/agent/log-forward/syslog.ts';
import { readTarget, targetLine } from '../../../../protocol/configuration/log-target.ts';

const entry = (n: number, fields: object = {}) =>
  JSON.stringify({
    __CURSOR: `c${n}`,
    __REALTIME_TIMESTAMP: '1800000000000000',
    PRIORITY: '4',
    SYSLOG_IDENTIFIER: 'bootwave-agent',
    _PID: '77',
    MESSAGE: `message ${n}`,
    ...fields,
  });
const textOf = (line: string) => toSyslog(line, '10.0.0.7')?.message.toString();

test('an entry of the journal as RFC 5424 has it', (t) => {
  t.is(textOf(entry(1)), '<28>1 2027-01-15T08:00:00.000Z 10.0.0.7 bootwave-agent 77 - - message 1');
  const kernel = entry(2, { SYSLOG_FACILITY: '0', SYSLOG_IDENTIFIER: 'kernel', _PID: undefined });
  t.is(textOf(kernel), '<4>1 2027-01-15T08:00:00.000Z 10.0.0.7 kernel - - - message 2');
  t.regex(textOf(entry(3, { MESSAGE: [104, 105, 255] })) ?? '', / hi\ufffd$/);
  t.regex(textOf(entry(4, { MESSAGE: null, PRIORITY: '9' })) ?? '', /^<30>1 .* - - $/);
  t.regex(textOf(entry(5, { MESSAGE: 'a\n<0>1 b' })) ?? '', /a <0>1 b$/, 'no second message in the first');
  t.regex(textOf(entry(6, { SYSLOG_IDENTIFIER: 'a b\n' })) ?? '', / ab 77 /);
  for (const line of ['', '{', 'null', '[]', '{"MESSAGE":"x"}']) t.is(toSyslog(line, 'h'), null, line);
});

test('no entry makes a message that is too long, torn, or of more than one line', (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('MESSAGE', 'PRIORITY', '_PID'), fc.jsonValue()), (fields) => {
      const { message } = toSyslog(entry(1, fields), '::1')!;
      t.true(message.length <= MOST_BYTES);
      t.regex(message.toString(), /^<\d{1,3}>1 [^\p{Cc}]*$/u);
    }),
  );
  const long = toSyslog(entry(1, { MESSAGE: 'ä'.repeat(5_000) }), 'h')!.message;
  t.true(long.length > MOST_BYTES - 4 && long.length <= MOST_BYTES);
  t.notRegex(long.toString(), /\ufffd/);
  t.is(framed(Buffer.from('ä')).toString(), '2 ä');
});

test('the line that root writes is the one that the forwarder reads', (t) => {
  for (const target of [
    { protocol: 'tcp', host: 'log.example.org', port: 514 },
    { protocol: 'udp', host: '2001:db8::1', port: 1 },
  ] as const)
    t.deepEqual(readTarget(targetLine(target)), target);
  for (const line of ['', 'tcp a 1', 'tls a 1\n', 'tcp a b 1\n']) t.is(readTarget(line), null, line);
});

async function* linesOf(...lines: string[]) {
  yield* lines;
}

async function tcp(t: ExecutionContext, onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}

test('messages arrive in order over TCP, framed', async (t) => {
  let got = '';
  const ended = Promise.withResolvers<void>();
  const port = await tcp(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      got += bytes;
      if (got.endsWith('message 3')) ended.resolve();
    });
    socket.on('error', () => {});
  });
  const cursors: string[] = [];
  const { signal } = new AbortController();
  await forward({
    lines: linesOf(entry(1), 'not json', entry(2), entry(3)),
    open: async () => {
      const way = await openWay({ protocol: 'tcp', host: '127.0.0.1', port });
      // Closed only when all has arrived.
      return { ...way, close: () => void ended.promise.then(way.close) };
    },
    sent: (cursor) => cursors.push(cursor),
    say: () => {},
    signal,
  });
  await ended.promise;
  t.deepEqual(cursors, ['c1', 'c2', 'c3']);
  t.deepEqual(
    got
      .split(/(?=\d\d <28>)/)
      .map((one) => /^(\d+) (.*)$/.exec(one)?.slice(1))
      .map((one) => [one?.[0], one?.[1]?.length]),
    [1, 2, 3].map(() => ['72', 72]),
  );
});

test('a datagram each over UDP', async (t) => {
  const server = createSocket('udp4');
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const got = new Promise<string>((resolve) => server.once('message', (bytes) => resolve(bytes.toString())));
  const way = await openWay({ protocol: 'udp', host: '127.0.0.1', port: server.address().port });
  t.is(way.host, '127.0.0.1');
  await way.send(toSyslog(entry(1), way.host)!.message);
  t.regex(await got, /^<28>1 .* 127\.0\.0\.1 bootwave-agent 77 - - message 1$/);
  way.close();
});

test('while the server is away nothing is lost and nothing is said twice', async (t) => {
  const got: string[] = [];
  const said: string[] = [];
  let opened = 0;
  const open = async (): Promise<Way> => {
    opened += 1;
    if (opened <= 3) throw new Error('refused');
    const broken = opened === 4;
    return {
      host: 'h',
      close: () => {},
      send: async (message) => {
        if (broken && got.length === 1) throw new Error('reset');
        got.push(message.toString().slice(-9));
      },
    };
  };
  await forward({
    lines: linesOf(entry(1), entry(2)),
    open,
    sent: () => {},
    say: (text) => said.push(text),
    signal: new AbortController().signal,
    pace: { first: 1, most: 2 },
  });
  t.deepEqual(got, ['message 1', 'message 2']);
  t.deepEqual(said, [
    'the log server cannot be reached: refused',
    'the log server takes the journal',
    'the log server is lost: reset',
    'the log server takes the journal',
  ]);
});

test('it ends when it is told to, also while the server is away', async (t) => {
  const stop = new AbortController();
  const ended = forward({
    lines: linesOf(entry(1)),
    open: async () => {
      stop.abort();
      throw new Error('refused');
    },
    sent: () => t.fail(),
    say: () => {},
    signal: stop.signal,
    pace: { first: 600_000, most: 600_000 },
  });
  await t.notThrowsAsync(ended);
});
