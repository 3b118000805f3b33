import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { NodeConfig } from '../../../../../image/agent/member/config/node-config.ts';
import { type ConfigRecord, configFile } from '../../../../../image/agent/member/config/record.ts';
import type { AskConfig, ConfigInForce, ConfigRequest } from '../../../../../protocol/agent/config.ts';
import { digestOf, makeDocument, readDocument } from '../../../../../protocol/configuration/document.ts';

const of = (version: string, labels = {}) => {
  const bytes = makeDocument({ labels }, version);
  return { digest: digestOf(bytes), document: bytes.toString('base64') };
};
const A = of('a');
const B = of('b');

/** A machine and what its disk keeps; agents come and go on it. */
class Machine {
  inForce: ConfigInForce | null = null;
  torn = false;
  record: ConfigRecord | null = null;
  epoch = 0;
  wanted: string | null = null;
  refuses = '';
  readonly asked: string[] = [];

  ask = (async (request: ConfigRequest) => {
    if (request.operation === 'config-status') return { inForce: this.inForce, torn: this.torn };
    const { document } = request;
    const version = document === null ? '' : readDocument(Buffer.from(document, 'base64')).version;
    this.asked.push(`${request.operation.slice(7)} ${version}`);
    if (version !== '' && version === this.refuses)
      throw new BootwaveError({ code: 'CONFIG_NOT_APPLIED', what: `not ${version}` });
    if (request.operation === 'config-check') return {};
    this.torn = false;
    this.inForce = document === null ? null : { digest: digestOf(Buffer.from(document, 'base64')), document };
    return { changed: 1 };
  }) as AskConfig;

  agent(trial = 600_000): NodeConfig {
    return new NodeConfig({
      ask: this.ask,
      order: () => (this.epoch === 0 ? null : { order: { epoch: this.epoch, config: this.wanted } }),
      records: {
        read: async () => this.record,
        write: async (record) => {
          this.record = record;
        },
      },
      trial,
    });
  }

  order(config: ConfigInForce | null): number {
    this.epoch += 1;
    this.wanted = config?.digest ?? null;
    return this.epoch;
  }

  reboot(): void {
    this.inForce = null;
    this.torn = false;
  }
}

test('only the document that the order names is applied, and only under its epoch', async (t) => {
  const machine = new Machine();
  const agent = machine.agent();
  await agent.start();
  const ask = (epoch: number, document: string | null) => agent.config({ epoch, document, apply: true });
  await t.throwsAsync(ask(1, A.document), { code: 'CONFIG_NO_ORDER' });
  const epoch = machine.order(A);
  await t.throwsAsync(ask(epoch, B.document), { code: 'CONFIG_DIGEST' });
  await t.throwsAsync(ask(epoch, null), { code: 'CONFIG_DIGEST' });
  await t.throwsAsync(ask(epoch + 1, A.document), { code: 'CONFIG_NO_ORDER' });
  t.is(machine.inForce, null);
  t.deepEqual(await ask(epoch, A.document), { digest: A.digest });
  t.deepEqual(agent.status(), { digest: A.digest, applied: true, error: '' });
  await ask(epoch, A.document);
  t.deepEqual(machine.asked, ['apply a'], 'asked twice, done once');
});

test('without apply it is only looked at', async (t) => {
  const machine = new Machine();
  const agent = machine.agent();
  const epoch = machine.order(A);
  t.deepEqual(await agent.config({ epoch, document: A.document, apply: false }), { digest: null });
  t.deepEqual(machine.asked, ['check a']);
  t.like(agent.status(), { digest: null, applied: false });
  machine.refuses = 'a';
  await t.throwsAsync(agent.config({ epoch, document: A.document, apply: false }), {
    code: 'CONFIG_NOT_APPLIED',
  });
  const junk = Buffer.from('{"format":2}');
  machine.epoch += 1;
  machine.wanted = digestOf(junk);
  await t.throwsAsync(
    agent.config({ epoch: machine.epoch, document: junk.toString('base64'), apply: true }),
    { code: 'CONFIG_MALFORMED' },
  );
});

test('one that fails is told by status, and the one before it stays', async (t) => {
  const machine = new Machine();
  const agent = machine.agent();
  await agent.config({ epoch: machine.order(A), document: A.document, apply: true });
  agent.status();
  machine.refuses = 'b';
  await t.throwsAsync(agent.config({ epoch: machine.order(B), document: B.document, apply: true }));
  t.deepEqual(agent.status(), { digest: A.digest, applied: false, error: 'not b' });
  await agent.config({ epoch: machine.order(A), document: A.document, apply: true });
  t.deepEqual(agent.status(), { digest: A.digest, applied: true, error: '' });
});

test('a configuration under which nobody reaches the node is taken back by it', async (t) => {
  const machine = new Machine();
  const agent = machine.agent(5);
  await agent.start();
  await agent.config({ epoch: machine.order(A), document: A.document, apply: true });
  agent.status();
  await agent.config({ epoch: machine.order(B), document: B.document, apply: true });
  t.is(machine.inForce?.digest, B.digest);
  // `status` would be the word that it waits for.
  while (machine.inForce?.digest !== A.digest) await sleep(5);
  await sleep(0);
  t.like(agent.status(), { digest: A.digest, applied: false });
  t.regex(agent.status().error, /taken back/);
  t.is(machine.record?.good?.digest, A.digest);
});

test('one under which it was reached stays, and is applied again after a boot', async (t) => {
  const machine = new Machine();
  const agent = machine.agent(20);
  await agent.config({ epoch: machine.order(A), document: A.document, apply: true });
  agent.contact();
  await sleep(60);
  t.is(machine.inForce?.digest, A.digest);
  machine.reboot();
  const next = machine.agent();
  await next.start();
  t.is(machine.inForce?.digest, A.digest);
  t.deepEqual(next.status(), { digest: A.digest, applied: true, error: '' });
});

test('a boot during the trial starts with the last good one', async (t) => {
  const machine = new Machine();
  const agent = machine.agent();
  await agent.config({ epoch: machine.order(A), document: A.document, apply: true });
  agent.contact();
  await agent.config({ epoch: machine.order(B), document: B.document, apply: true });
  machine.reboot();
  const next = machine.agent();
  await next.start();
  t.deepEqual(next.status(), { digest: A.digest, applied: false, error: '' });
});

test('an agent that starts again goes on with the trial, and mends a change that was cut off', async (t) => {
  const machine = new Machine();
  await machine.agent().config({ epoch: machine.order(A), document: A.document, apply: true });
  machine.record = { format: 1, good: null };
  const next = machine.agent(1);
  await next.start();
  while (machine.inForce !== null) await sleep(1);

  machine.record = { format: 1, good: A };
  machine.inForce = B;
  machine.torn = true;
  const third = machine.agent();
  await third.start();
  t.is(machine.inForce?.digest, A.digest);
  t.false(machine.torn);
});

test('a node whose good configuration cannot be applied after a boot starts all the same and says so', async (t) => {
  const machine = new Machine();
  machine.record = { format: 1, good: A };
  machine.refuses = 'a';
  const agent = machine.agent();
  await agent.start();
  t.deepEqual(agent.status(), { digest: null, applied: true, error: 'not a' });
});

test('the record survives on disk; a torn one is none', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-config-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = configFile(join(folder, 'config.json'));
  t.is(await file.read(), null);
  await file.write({ format: 1, good: A });
  t.deepEqual(await file.read(), { format: 1, good: A });
  await writeFile(join(folder, 'config.json'), '{"format":1,"goo');
  t.is(await file.read(), null);
});
