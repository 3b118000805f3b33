import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { mustRun } from '../../../base/run.ts';
import { pattern } from '../http/fixture.ts';
import { bind, Client, EVEN, type Fixture, LOADER, startFixture } from './fixture.ts';

async function prepare(
  t: ExecutionContext,
  options: Parameters<typeof startFixture>[0] = {},
): Promise<Fixture & { client(): Promise<Client> }> {
  const fixture = await startFixture(options);
  const clients: Client[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    await fixture.stop();
  });
  const client = async () => {
    const made = await Client.to(fixture);
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

test('a stranger at the port of a transfer gets error 5 and the transfer goes on', async (t) => {
  const { client } = await prepare(t);
  const [one, stranger] = [await client(), await client()];
  await one.ask('even.efi');
  const first = await one.next();
  await stranger.send({ op: 'ack', block: 1 }, first.from);
  t.like((await stranger.next()).packet, { op: 'error', code: 5 });
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
  for (const mode of ['netascii', 'mail', 'x']) {
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
  t.is(events.length, 4 + names.length);
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

test('too many transfers are refused with a reason, and there is room again when one ends', async (t) => {
  const { client, server } = await prepare(t, { limits: { transfers: 3, transfersOfOne: 2 } });
  const [a, b, c] = [await client(), await client(), await client()];
  await a.ask('ipxe.efi');
  const first = await a.next();
  await b.ask('ipxe.efi');
  await b.next();
  await c.ask('ipxe.efi');
  t.like((await c.next()).packet, {
    op: 'error',
    code: 0,
    message: 'too many transfers at once, ask again later',
  });
  await a.send({ op: 'error', code: 0, message: 'bye' }, first.from);
  await becomes(() => server.transfers === 1);
  t.deepEqual(await c.get('ipxe.efi'), LOADER);
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
  await writeFile(join(folder, 'large.efi'), large);
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
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer];
  return { child, port: Number(line.toString()) };
}

test('out of descriptors it says so, lives, and serves when there are some again', async (t) => {
  const { folder } = await prepare(t);
  const { child, port } = await childWithFewDescriptors(folder);
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
  const answers = await Promise.all(clients.map((client) => client.next()));
  const refused = answers.filter(
    ({ packet }) => packet?.op === 'error' && /out of resources/.test(packet.message),
  );
  t.true(refused.length > 0 && refused.length < clients.length, `${refused.length} refused`);
  for (const [i, { packet, from }] of answers.entries()) {
    if (packet?.op === 'oack') await clients[i]?.send({ op: 'error', code: 0, message: 'bye' }, from);
  }
  const later = await Client.to({ address: '127.0.0.1', port });
  t.teardown(() => later.close());
  for (;;) {
    try {
      t.deepEqual(await later.get('ipxe.efi'), LOADER);
      break;
    } catch (error) {
      // Descriptors are given back a moment after the goodbyes.
      t.regex((error as Error).message, /out of resources/);
    }
  }
});
