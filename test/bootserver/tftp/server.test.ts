import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { pino } from 'pino';
import { mustRun } from '../../../base/run.ts';
import { pattern } from '../http/fixture.ts';
import { bind, Client, EVEN, type Fixture, LOADER, startFixture } from './fixture.ts';

async function prepare(
  t: ExecutionContext,
  options: Parameters<typeof startFixture>[0] = {},
): Promise<Fixture & { client: (address?: string) => Promise<Client> }> {
  const fixture = await startFixture(options);
  const clients: Client[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    await fixture.stop();
  });
  const client = async (address?: string) => {
    const made = await Client.to(fixture, address);
    clients.push(made);
    return made;
  };
  return { ...fixture, client };
}

async function becomes(probe: () => boolean): Promise<void> {
  while (!probe()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('serves whole files, also an empty one and one that ends with a full block', async (t) => {
  const { client, events } = await prepare(t);
  const one = await client();
  t.deepEqual(await one.get('ipxe.efi'), LOADER);
  t.deepEqual(await one.get('even.efi', [['blksize', '1024']]), EVEN);
  t.deepEqual(await one.get('empty.efi'), Buffer.alloc(0));
  await becomes(() => events.length === 3);
  t.deepEqual(
    events.map(({ step, file, address }) => [step, file, address]),
    [
      ['finished', 'ipxe.efi', '127.0.0.1'],
      ['finished', 'even.efi', '127.0.0.1'],
      ['finished', 'empty.efi', '127.0.0.1'],
    ],
  );
});

test("answers come from the server's own address and from a port of their own", async (t) => {
  const { client, port } = await prepare(t, { address: '127.0.0.5' });
  const [one, two] = [await client(), await client()];
  await one.ask('ipxe.efi');
  await two.ask('ipxe.efi');
  const [first, second] = [await one.next(), await two.next()];
  t.is(first.from.address, '127.0.0.5');
  t.is(new Set([first.from.port, second.from.port, port]).size, 3);
});

test("EDK2's way: ask for the size, abort with error 8, ask again", async (t) => {
  const { client, events, server } = await prepare(t);
  const one = await client();
  await one.ask('ipxe.efi', [
    ['tsize', '0'],
    ['blksize', '1468'],
  ]);
  const { packet, from } = await one.next();
  t.deepEqual(packet, {
    op: 'oack',
    options: [
      ['tsize', String(LOADER.length)],
      ['blksize', '1468'],
    ],
  });
  await one.send({ op: 'error', code: 8, message: 'User aborted the transfer' }, from);
  t.deepEqual(await one.get('ipxe.efi', [['blksize', '1468']]), LOADER);
  await becomes(() => events.length === 2);
  t.deepEqual(
    events.map((event) => event.step),
    ['probed', 'finished'],
  );
  t.is(server.transfers, 0);
});

test('a stranger at the port of a transfer gets nothing and the transfer goes on', async (t) => {
  const { client } = await prepare(t);
  const [one, stranger] = [await client(), await client()];
  await one.ask('even.efi');
  const first = await one.next();
  await stranger.send({ op: 'ack', block: 1 }, first.from);
  await stranger.send({ op: 'error', code: 0, message: 'stop it' }, first.from);
  await one.send({ op: 'ack', block: 1 }, first.from);
  t.like((await one.next()).packet, { op: 'data', block: 2 });
  t.is(stranger.waiting, 0);
});

test('a request that is repeated opens no second transfer, a new one from the same port does', async (t) => {
  const { client, server } = await prepare(t);
  const one = await client();
  for (let i = 0; i < 5; i += 1) await one.ask('ipxe.efi', [['blksize', '1024']]);
  const offer = await one.next();
  t.is(offer.packet?.op, 'oack');
  await one.ask('nothing.efi');
  t.like((await one.next()).packet, { op: 'error', code: 1 });
  t.is(server.transfers, 1);
  t.is(one.waiting, 0);
  // A ROM that was reset in the middle asks from its usual port again.
  await one.send({ op: 'ack', block: 0 }, offer.from);
  t.like((await one.next()).packet, { op: 'data', block: 1 });
  await one.ask('ipxe.efi', [['blksize', '1024']]);
  const again = await one.next();
  t.is(again.packet?.op, 'oack');
  t.not(again.from.port, offer.from.port);
});

test('writing, other modes and unknown names are refused with the code of the RFC', async (t) => {
  const { client, events } = await prepare(t);
  const one = await client();
  const answer = async () => (await one.next()).packet;
  await one.send({ op: 'write', file: 'ipxe.efi', mode: 'octet', options: [] });
  t.like(await answer(), { op: 'error', code: 2 });
  for (const mode of ['mail', 'x']) {
    await one.ask('ipxe.efi', [], mode);
    t.like(await answer(), { op: 'error', code: 4 });
  }
  const names = [
    'none.efi',
    '..',
    '.',
    '/',
    '../ipxe.efi',
    './ipxe.efi',
    '/etc/passwd',
    '%2e%2e/x',
    'IPXE.EFI',
    'ipxe.efi/',
  ];
  for (const name of names) {
    await one.ask(name);
    t.like(await answer(), { op: 'error', code: 1 }, name);
  }
  t.true(events.every((event) => event.step === 'refused'));
  t.is(events.length, 3 + names.length);
});

test('a link out of the folder, a file being written and a hidden one are not on the list', async (t) => {
  const { client, folder } = await prepare(t);
  await mustRun('ln', ['-s', '/etc/hostname', join(folder, 'link.efi')]);
  await writeFile(join(folder, '.secret'), 'x');
  await writeFile(join(folder, 'ipxe.efi.0a0b.tmp'), 'x');
  const one = await client();
  for (const name of ['link.efi', '.secret', 'ipxe.efi.0a0b.tmp']) {
    await t.throwsAsync(one.get(name), { message: /^1 / }, name);
  }
});

test('when all transfers are busy a request is not answered, and there is room again when one ends', async (t) => {
  const { client, server } = await prepare(t, { limits: { transfersOfOne: 2 } });
  const [a, b, c] = [await client(), await client(), await client()];
  const froms = [];
  for (const one of [a, b]) {
    await one.ask('ipxe.efi');
    const { from } = await one.next();
    await one.send({ op: 'ack', block: 1 }, from);
    t.like((await one.next()).packet, { op: 'data', block: 2 });
    froms.push(from);
  }
  await c.ask('ipxe.efi');
  // Refused at once, and so answered before anything that comes later.
  await c.ask('none.efi', [], 'mail');
  t.like((await c.next()).packet, { op: 'error', code: 4 });
  t.is(c.waiting, 0);
  await a.send({ op: 'error', code: 0, message: 'bye' }, froms[0]);
  await becomes(() => server.transfers === 1);
  t.deepEqual(await c.get('ipxe.efi'), LOADER);
});

test('requests that wait 255 s for an acknowledgement keep nobody out, not even their own address', async (t) => {
  const { client, server, events } = await prepare(t, { limits: { transfers: 40 } });
  const silent = await Promise.all(Array.from({ length: 20 }, () => client()));
  for (const one of silent) {
    await one.ask('ipxe.efi', [['timeout', '255']]);
    t.is((await one.next()).packet?.op, 'oack');
  }
  t.true(server.transfers <= 8);
  t.deepEqual(await (await client()).get('ipxe.efi'), LOADER);
  // And not from many addresses either.
  for (let i = 0; i < 60; i += 1) {
    const one = await client(`127.0.1.${1 + (i % 12)}`);
    await one.ask('ipxe.efi', [['timeout', '255']]);
    t.is((await one.next()).packet?.op, 'oack');
  }
  t.is(server.transfers, 40);
  t.deepEqual(await (await client('127.0.2.1')).get('ipxe.efi'), LOADER);
  t.deepEqual(await (await client('127.0.1.1')).get('ipxe.efi'), LOADER);
  // Whoever made room was told nothing: firmware gives up on an error.
  t.true(silent.every((one) => one.waiting === 0));
  t.true(events.some(({ step, detail }) => step === 'failed' && /others needed the room/.test(detail)));
});

test('transfers that stop in the middle give way when they have been idle', async (t) => {
  const { client, server } = await prepare(t, { limits: { transfersOfOne: 2, idle: 50 } });
  const froms = [];
  for (const one of [await client(), await client()]) {
    await one.ask('ipxe.efi', [['timeout', '255']]);
    const { from } = await one.next();
    await one.send({ op: 'ack', block: 0 }, from);
    await one.next();
    froms.push(from);
  }
  const late = await client();
  while (late.waiting === 0) {
    await late.ask('even.efi');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.like((await late.next()).packet, { op: 'data', block: 1 });
  t.is(server.transfers, 2);
});

test('file names as sloppy firmware writes them', async (t) => {
  const { client, folder } = await prepare(t);
  await writeFile(join(folder, 'blank '), 'x');
  const one = await client();
  for (const name of [
    'ipxe.efi\xff',
    'ipxe.efi\xff\xff\xff',
    'ipxe.efi\xff+\x04rest',
    '/ipxe.efi\xff',
    '\\ipxe.efi',
    'ipxe.efi ',
    'ipxe.efi\r\n',
    '//\\ipxe.efi\t \xff',
  ]) {
    t.deepEqual(await one.get(name), LOADER, JSON.stringify(name));
  }
  // A name that is there as it was written is what was meant.
  t.is((await one.get('blank ')).toString(), 'x');
  for (const name of ['\xff', ' ', '\\..\\ipxe.efi', '..\xff', 'ipxe.efi.tmp\xff', '.hidden\xff']) {
    await t.throwsAsync(one.get(name), { message: /^1 / }, JSON.stringify(name));
  }
});

test('netascii: line ends are translated, the size is that of what is sent', async (t) => {
  const { client, folder } = await prepare(t);
  const text = 'a\nb\r\nc\rd\n';
  const translated = 'a\r\nb\r\0\r\nc\r\0d\r\n';
  await writeFile(join(folder, 'text'), text);
  const one = await client();
  await one.ask('text', [['tsize', '0']], 'NetASCII');
  const offer = await one.next();
  t.deepEqual(offer.packet, { op: 'oack', options: [['tsize', String(translated.length)]] });
  await one.send({ op: 'ack', block: 0 }, offer.from);
  const { packet } = await one.next();
  t.is(packet?.op === 'data' && Buffer.from(packet.data).toString(), translated);
  // The same file in the other mode is another one.
  t.is((await (await client()).get('text')).toString(), text);
  const large = await open(join(folder, 'large.efi'), 'w');
  await large.truncate(33 * 1024 * 1024);
  await large.close();
  await one.ask('large.efi', [], 'netascii');
  for (;;) {
    const next = (await one.next()).packet;
    if (next?.op !== 'error') continue;
    t.like(next, { code: 4, message: 'a file of this size is served in octet mode only' });
    break;
  }
});

test('an acknowledgement of the end that does not arrive leaves a finished transfer', async (t) => {
  const { client, events } = await prepare(t, { limits: { longestWait: 5, retries: 2 } });
  const one = await client();
  const blocks = EVEN.length / 512 + 1;
  await one.ask('even.efi', [['blksize', '512']]);
  for (let seen = 0; seen < blocks; ) {
    const { packet, from } = await one.next();
    if (packet?.op === 'data') seen = packet.block;
    if (seen < blocks) await one.send({ op: 'ack', block: seen }, from);
  }
  await becomes(() => events.length === 1);
  t.like(events[0], { step: 'finished', file: 'even.efi' });
  t.regex(events[0]?.detail ?? '', /last acknowledgement did not arrive/);
  // The last block came again, and no error behind it.
  while (one.waiting > 0) t.like((await one.next()).packet, { op: 'data', block: blocks });
});

test('a thousand requests of a stranger are a few lines, and a count of the others', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const { client, server, events } = await prepare(t, { log });
  const one = await client();
  const name = '\x01'.repeat(400);
  for (let i = 0; i < 1000; i += 1) {
    await one.ask(name + i);
    t.like((await one.next()).packet, { op: 'error', code: 1 });
  }
  t.is(events.length, 1000);
  // Another one is not hidden by it.
  await (await client('127.0.0.9')).get('ipxe.efi');
  await becomes(() => events.length === 1001);
  await server.stop();
  const refused = lines.filter((line) => line.code === 'TFTP_REFUSED');
  t.true(refused.length <= 6, `${refused.length} lines`);
  t.is(refused.at(-1)?.leftOut, 1000 - (refused.length - 1));
  t.like(
    lines.find((line) => line.code === 'TFTP_FINISHED'),
    { from: '127.0.0.9', file: 'ipxe.efi' },
  );
  t.true(JSON.stringify(lines).length < 5000);
});

test('a client that has gone is given up, told so, and reported', async (t) => {
  const { client, events, server } = await prepare(t, { limits: { wait: 10, longestWait: 20, retries: 3 } });
  const one = await client();
  await one.ask('ipxe.efi');
  const got: string[] = [];
  while (got.at(-1) !== 'error') got.push((await one.next()).packet?.op ?? '');
  // Fewer when the disk is slower than these timers; how many it is by the rules is shown in transfer.test.ts.
  t.true(got.length >= 2 && got.length <= 5);
  t.deepEqual(new Set(got.slice(0, -1)), new Set(['data']));
  await becomes(() => events.length === 1);
  t.like(events[0], { step: 'failed', detail: 'no acknowledgement of block 1' });
  t.is(server.transfers, 0);
});

for (const [block, outcome] of [
  [0, { step: 'failed', detail: 'no acknowledgement of block 1' }],
  [20, { step: 'finished', detail: 'all was sent, and the last acknowledgement did not arrive' }],
] as const) {
  test(`a client whose port is closed after block ${block} (ICMP) ends the transfer as one that is silent: ${outcome.step}`, async (t) => {
    const fixture = await prepare(t, { limits: { wait: 50, longestWait: 200, retries: 4 } });
    const { events } = fixture;
    const one = await Client.to(fixture);
    await one.ask('even.efi');
    for (let acked = 0; acked < block; ) {
      const { packet, from } = await one.next();
      if (packet?.op !== 'data' || packet.block !== acked + 1) continue;
      acked += 1;
      await one.send({ op: 'ack', block: acked }, from);
    }
    await one.next();
    one.close();
    await becomes(() => events.length === 1);
    t.like(events[0], outcome);
  });
}

test('a transfer that never ends is cut at its time', async (t) => {
  const { client, events } = await prepare(t, { limits: { transferLife: 50 } });
  const one = await client();
  await one.ask('ipxe.efi');
  await one.next();
  t.like((await one.next()).packet, { op: 'error', code: 0 });
  await becomes(() => events[0]?.step === 'failed');
});

test('a file that is replaced is sent to its end as it was; one that shrinks is an error', async (t) => {
  const { client, folder } = await prepare(t);
  const large = pattern(300_000, 8);
  await writeFile(join(folder, 'large.efi'), large);
  const [one, two] = [await client(), await client()];
  const download = one.get('large.efi');
  await writeFile(join(folder, 'other'), 'short');
  await rename(join(folder, 'other'), join(folder, 'large.efi'));
  const got = await download;
  t.true(got.equals(large) || got.toString() === 'short');
  // Too large to be kept in memory.
  const huge = await open(join(folder, 'large.efi'), 'w');
  await huge.truncate(33 * 1024 * 1024);
  await huge.close();
  await two.ask('large.efi', [['tsize', '0']]);
  const offer = await two.next();
  await truncate(join(folder, 'large.efi'), 100);
  await two.send({ op: 'ack', block: 0 }, offer.from);
  t.like((await two.next()).packet, { op: 'error', code: 0 });
});

test('stopping tells the clients and frees the port', async (t) => {
  const { client, server, port } = await prepare(t);
  const one = await client();
  await one.ask('ipxe.efi');
  await one.next();
  await server.stop();
  t.like((await one.next()).packet, { op: 'error', message: 'the server is stopping' });
  const again = await bind('127.0.0.1');
  again.close();
  await becomes(() => server.transfers === 0);
  t.true(port > 0);
});

test('whatever arrives at the listening port or at a transfer, everyone is still served', async (t) => {
  const { client, server } = await prepare(t, {
    limits: { transfersOfOne: 10_000, transfers: 10_000 },
  });
  const [one, noise] = [await client(), await client()];
  const opcode = fc.tuple(fc.constant(0), fc.nat(7)).map((bytes) => Uint8Array.from(bytes));
  const almost = fc
    .tuple(opcode, fc.uint8Array({ maxLength: 40 }))
    .map(([head, rest]) => Buffer.concat([head, rest]));
  const datagram = fc.oneof(almost, fc.uint8Array({ maxLength: 3 }), fc.uint8Array({ maxLength: 1500 }));
  // This transfer is the target; the timer is answered by nobody but us.
  await one.ask('even.efi', [['timeout', '255']]);
  const { from } = await one.next();
  await one.send({ op: 'ack', block: 0 }, from);
  await one.next();
  await fc.assert(
    fc.asyncProperty(datagram, async (bytes) => {
      await noise.send(bytes);
      await noise.send(bytes, from);
      // From the client itself too, but nothing that is a proper ACK or error of this transfer.
      if (bytes[1] !== 4 && bytes[1] !== 5) await one.send(bytes, from);
      // Sending alone never lets the loop look at what arrived, and the buffers would drop most of it.
      await new Promise((resolve) => setImmediate(resolve));
    }),
    { numRuns: 500 },
  );
  for (const byte of [0, 1, 4, 255]) {
    await one.send(Uint8Array.of(byte), from);
    await one.send(Uint8Array.of(byte));
  }
  await one.send({ op: 'ack', block: 1 }, from);
  for (;;) {
    const { packet } = await one.next();
    if (packet?.op === 'data' && packet.block === 2) break;
  }
  await one.send({ op: 'error', code: 0, message: 'enough' }, from);
  t.deepEqual(await (await client()).get('ipxe.efi'), LOADER);
  await becomes(() => server.transfers === 0);
});

test('a request from port 0, which cannot be answered, is ignored', async (t) => {
  const { client, port, server, events } = await prepare(t);
  // Only a raw socket can send one: UDP header (source 0, checksum 0 = none) and a request.
  const script = `use Socket; socket(my $s, AF_INET, SOCK_RAW, 17) or die $!;
    for my $body ("\\0\\1ipxe.efi\\0octet\\0", "\\0\\1none\\0octet\\0", "\\0\\2a\\0octet\\0") {
      send($s, pack("nnnn", 0, $ARGV[0], 8 + length $body, 0) . $body, 0, sockaddr_in(0, inet_aton("127.0.0.1"))) or die $!;
    }`;
  await mustRun('perl', ['-e', script, String(port)]);
  t.deepEqual(await (await client()).get('ipxe.efi'), LOADER);
  await becomes(() => server.transfers === 0);
  t.is(events.length, 1);
});

async function childWithFewDescriptors(folder: string): Promise<{ child: ChildProcess; port: number }> {
  const program = fileURLToPath(new URL('./serve-child.ts', import.meta.url));
  const child = spawn('bash', ['-c', 'ulimit -n 40; exec "$0" "$@"', process.execPath, program, folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer];
  return { child, port: Number(line.toString()) };
}

test('out of descriptors it logs so, says nothing to those who will ask again, and serves when there are some again', async (t) => {
  const { folder } = await prepare(t);
  const { child, port } = await childWithFewDescriptors(folder);
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const clients = await Promise.all(
    Array.from({ length: 60 }, () => Client.to({ address: '127.0.0.1', port })),
  );
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  for (const client of clients) await client.ask('ipxe.efi', [['timeout', '255']]);
  await becomes(() => log.includes('TFTP_OUT_OF_RESOURCES'));
  await becomes(() => clients.some((client) => client.waiting > 0));
  let answered = 0;
  for (const client of clients) {
    while (client.waiting > 0) {
      const { packet, from } = await client.next();
      t.is(packet?.op, 'oack');
      answered += 1;
      await client.send({ op: 'error', code: 0, message: 'bye' }, from);
    }
  }
  t.true(answered < clients.length, `${answered} were answered`);
  const later = await Client.to({ address: '127.0.0.1', port });
  t.teardown(() => later.close());
  while (later.waiting === 0) {
    // As firmware does; descriptors are given back a moment after the goodbyes.
    await later.ask('even.efi');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.like((await later.next()).packet, { op: 'data', block: 1 });
});
