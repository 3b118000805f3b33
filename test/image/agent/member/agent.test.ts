import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { Agent, type Edges } from '../../../../image/agent/member/agent.ts';
import { BootServer } from '../../../../image/agent/member/boot-server.ts';
import type { View } from '../../../../image/agent/member/core/state.ts';
import { verifyTime } from '../../../../image/agent/root/server-time.ts';
import { CLOCK_OFF, type HelperRequest } from '../../../../protocol/agent/machine.ts';
import { writeDiskEvidence } from '../../../../protocol/enrolment/disk-evidence.ts';
import { writeReport } from '../../../../protocol/enrolment/wipe.ts';
import { MemoryDirectory } from '../../../bootserver/enroll/support/directory.ts';
import { Fleet, serve, type TestServer } from '../../../bootserver/enroll/support/fleet.ts';
import { helperOn, RUNNING } from '../../../bootserver/enroll/support/node.ts';
import { SoftwareTpm } from '../../../bootserver/enroll/support/swtpm.ts';

const fleet = await Fleet.make();
const folder = join(fleet.folder, 'machine');
await mkdir(folder);
const software = await new SoftwareTpm(folder).start();
test.after.always(async () => {
  await software.stop();
  await fleet.remove();
});

/** A running agent: real TLS, real TPM; only waits are cut short, so that no test depends on time. */
function boot(
  t: ExecutionContext,
  urls: () => string[],
  tpm: SoftwareTpm | null = software,
  overrides: Partial<Edges> = {},
) {
  const stop = new AbortController();
  const views: View[] = [];
  const waiting: (() => void)[] = [];
  const helper = helperOn(folder, tpm);
  const running = new Agent({
    rootPem: fleet.root,
    askHelper: helper.askHelper,
    facts: helper.facts,
    wipe: async () => ({ report: '{}', open: false }),
    showDisks: async () => '{}',
    discover: async () => urls(),
    heartbeat: async () => ({ running: RUNNING, uptime: 1, healthy: true, reason: '' }),
    show: (view) => {
      views.push(view);
      for (const resolve of waiting.splice(0)) resolve();
    },
    now: Date.now,
    random: Math.random,
    signal: stop.signal,
    sleep: async () => void (await turn()),
    ...overrides,
  }).run();
  t.teardown(async () => {
    stop.abort();
    await running;
  });
  return {
    helper,
    views,
    /** @returns the last view once it is as wanted */
    async until(holds: (view: View) => boolean): Promise<View> {
      for (;;) {
        const view = views.at(-1);
        if (view !== undefined && holds(view)) return view;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

const inPhase =
  (...phases: View['phase'][]) =>
  ({ phase }: View) =>
    phases.includes(phase);

async function server(t: ExecutionContext, options: Parameters<typeof serve>[1] = {}): Promise<TestServer> {
  const started = await serve(fleet, options);
  t.teardown(() => started.stop());
  return started;
}

test.serial(
  'a new machine shows the words that the fleet has, is approved and becomes healthy',
  async (t) => {
    const { url, directory } = await server(t);
    const agent = boot(t, () => [url]);
    const { words } = await agent.until(inPhase('pending'));
    const [enrolment] = directory.enrolments;
    t.deepEqual(words, enrolment!.words);
    directory.decisions.set(enrolment!.id, { state: 'approved', name: 'n1' });
    const healthy = await agent.until(inPhase('healthy'));
    t.is(healthy.name, 'n1');
    await directory.until(() => directory.heartbeats.length > 0);
    t.is(directory.heartbeats[0]!.id, enrolment!.id);
    t.is(agent.helper.installed, 1);
    t.deepEqual(
      agent.views.map(({ phase }) => phase),
      ['starting', 'searching', 'enrolling', 'pending', 'approved', 'healthy'],
    );
  },
);

test.serial('its hardware is told to a boot server that has asked for it, and not before', async (t) => {
  const { url, directory } = await server(t);
  const asked: unknown[] = [];
  const agent = boot(t, () => [url], software, {
    heartbeat: async (asks) => {
      asked.push(asks);
      const told = asks.hardware ? { hardware: { clock: Date.now(), memory: null, disk: 0 } } : {};
      return { running: RUNNING, uptime: 1, healthy: true, reason: '', ...told };
    },
  });
  await agent.until(inPhase('pending'));
  const [enrolment] = directory.enrolments;
  directory.decisions.set(enrolment!.id, { state: 'approved', name: 'n1' });
  await directory.until(() => directory.heartbeats.length > 2);
  const all = { hardware: true, smart: true };
  t.deepEqual(asked.slice(0, 3), [{ hardware: false, smart: false }, all, all]);
});

test.serial('an approved machine that boots again is healthy by itself, under the same record', async (t) => {
  const { url, directory } = await server(t);
  const first = boot(t, () => [url]);
  await first.until(inPhase('pending'));
  const [{ id, akName, spkiDigest }] = directory.enrolments as [(typeof directory.enrolments)[0]];
  directory.decisions.set(id, { state: 'approved', name: 'n1' });
  await first.until(inPhase('healthy'));
  const second = boot(t, () => [url]);
  await second.until(inPhase('healthy'));
  const again = directory.enrolments.find((enrolment) => enrolment.spkiDigest !== spkiDigest);
  t.like(again, { id, akName });
  t.false(second.views.some(inPhase('pending')));
});

test.serial(
  'a held machine wipes as it is ordered, says so, and enrols with keys that it made afterwards',
  async (t) => {
    const { url, directory } = await server(t);
    const { askHelper } = helperOn(folder, software);
    const report = writeReport({ incident: 1, wiped: ['0x5000c500'], left: [], open: [] });
    const taken: unknown[] = [];
    const shown = writeDiskEvidence({ incident: 1, read: 'heads', disks: [], missing: [] });
    directory.disks = 'heads';
    const did: string[] = [];
    let wipes = 0;
    const agent = boot(t, () => [url], software, {
      askHelper: (async (request: HelperRequest) => {
        if (request.operation !== 'take-order') return askHelper(request);
        taken.push(request.envelope);
        return { digest: `${taken.length}` };
      }) as never,
      showDisks: async (read) => {
        did.push(read);
        return shown;
      },
      wipe: async () => {
        did.push(`wipe, ${directory.shown.length} shown`);
        wipes += 1;
        // The boot server forgets the session meanwhile: nothing is wiped a second time.
        if (wipes === 1) directory.available = false;
        return { report, open: false };
      },
    });
    await agent.until(inPhase('pending'));
    const [{ id, spkiDigest }] = directory.enrolments as [(typeof directory.enrolments)[0]];
    const ordered = (epoch: number) => {
      const said = { epoch, incident: { number: 1, installed: ['0x5000c500'], others: 'leave' } };
      return {
        payload: Buffer.from(JSON.stringify(said)).toString('base64'),
        keyId: 'a'.repeat(64),
        signature: '',
      };
    };
    const order = ordered(1);
    directory.decisions.set(id, { state: 'held', name: 'n1', reason: 'it talks to strangers', order });
    const held = await agent.until(inPhase('held'));
    t.is(held.notice, 'it talks to strangers');
    await agent.until(({ notice }) => notice?.includes('SERVER_UNREACHABLE') === true);
    // A wipe may take longer than an order is fresh.
    const [reason, later] = ['it talks to strangers', ordered(2)];
    directory.decisions.set(id, { state: 'held', name: 'n1', reason, order: later });
    directory.available = true;
    await directory.until(() => directory.wipes.length > 0);
    directory.decisions.set(id, { state: 'approved', name: 'n1' });
    await agent.until(inPhase('healthy'));
    t.like(directory.wipes[0], { id, report: { incident: 1, wiped: ['0x5000c500'] } });
    t.is(wipes, 1);
    t.deepEqual(did, ['heads', 'wipe, 1 shown']);
    t.like(directory.shown[0], { id, said: { report: shown } });
    t.deepEqual(taken.slice(0, 2), [order, later]);
    t.not(directory.certificates.get(id)?.spkiDigest, spkiDigest);
  },
);

test.serial(
  'a machine that cannot show its disks, or whose boot server knows no such question, wipes all the same',
  async (t) => {
    for (const isOlder of [true, false]) {
      const { url, directory } = await server(t);
      const { askHelper } = helperOn(folder, software);
      directory.disks = 'heads';
      if (isOlder)
        directory.disksAsked = async () => {
          throw new BootwaveError({ code: 'NOT_FOUND', what: 'there is no such page' });
        };
      const agent = boot(t, () => [url], software, {
        askHelper: (async (request: HelperRequest) =>
          request.operation === 'take-order' ? { digest: '1' } : askHelper(request)) as never,
        showDisks: async () => {
          throw new Error('EIO');
        },
        wipe: async () => ({
          report: writeReport({ incident: 1, wiped: ['0x5'], left: [], open: [] }),
          open: false,
        }),
      });
      await agent.until(inPhase('pending'));
      const payload = Buffer.from(JSON.stringify({ incident: { number: 1 } })).toString('base64');
      const order = { payload, keyId: 'a'.repeat(64), signature: '' };
      directory.decisions.set(directory.enrolments[0]!.id, { state: 'held', name: 'n1', reason: 'x', order });
      await directory.until(() => directory.wipes.length > 0);
      t.is(directory.shown.length, 0);
    }
  },
);

test.serial('a server that was killed and forgot everything gets the proof again', async (t) => {
  const directory = new MemoryDirectory();
  let current = await server(t, { directory });
  const agent = boot(t, () => [current.url]);
  const before = await agent.until(inPhase('pending'));
  await current.stop();
  await agent.until(inPhase('server-lost'));
  current = await server(t, { directory });
  const after = await agent.until(inPhase('pending'));
  t.notDeepEqual(after.words, before.words, 'a new nonce gives new words');
  t.deepEqual(after.words, directory.enrolments.at(-1)!.words);
  directory.decisions.set(directory.enrolments[0]!.id, { state: 'approved', name: 'n1' });
  await agent.until(inPhase('healthy'));

  await current.stop();
  await agent.until(inPhase('server-lost'));
  const enrolments = directory.enrolments.length;
  current = await server(t, { directory });
  await agent.until(inPhase('healthy'));
  t.is(directory.enrolments.length, enrolments, 'the certificate outlives the server: no new enrolment');
});

test.serial('a server killed between the keys and the proof costs nothing but a new dialogue', async (t) => {
  const directory = new MemoryDirectory();
  let current = await server(t, { directory });
  let kills = 2;
  const helper = helperOn(folder, software);
  const agent = boot(t, () => [current.url], software, {
    facts: helper.facts,
    async askHelper(request) {
      // The quote is made after the nonce was shown: this is the moment.
      if (request.operation === 'quote' && kills-- > 0) {
        await current.stop();
        current = await server(t, { directory });
      }
      return helper.askHelper(request);
    },
  });
  await agent.until(inPhase('pending'));
  t.is(directory.enrolments.length, 1);
  t.is(kills, -1);
});

test.serial('sshd that was not started is started again', async (t) => {
  const { url, directory } = await server(t);
  const helper = helperOn(folder, software);
  const answers = ['fails', 'not started', 'started'];
  const agent = boot(t, () => [url], software, {
    facts: helper.facts,
    async askHelper(request) {
      if (request.operation !== 'install-host-key') return helper.askHelper(request);
      const answer = answers.shift();
      if (answer === 'fails') throw new Error('the helper is busy');
      return { started: answer === 'started' } as never;
    },
  });
  await agent.until(inPhase('pending'));
  directory.decisions.set(directory.enrolments[0]!.id, { state: 'approved', name: 'n1' });
  await agent.until(inPhase('healthy'));
  while (answers.length > 0) await turn();
  t.pass();
});

test.serial('while the fleet cannot be asked, the machine keeps trying', async (t) => {
  const { url, directory } = await server(t);
  directory.available = false;
  const agent = boot(t, () => [url]);
  const { notice } = await agent.until(({ notice }) => notice !== null);
  t.regex(notice!, /cannot answer now/);
  directory.available = true;
  await agent.until(inPhase('pending'));
  t.pass();
});

test.serial(
  'a machine without a TPM enrols, and an approved one stays healthy when its certificate is withdrawn',
  async (t) => {
    const { url, directory } = await server(t);
    const agent = boot(t, () => [url], null);
    await agent.until(inPhase('pending'));
    const [{ id }] = directory.enrolments as [(typeof directory.enrolments)[0]];
    t.regex(id, /^dev-/);
    directory.decisions.set(id, { state: 'approved', name: 'box' });
    await agent.until(inPhase('healthy'));
    const { serial } = directory.certificates.get(id)!;
    directory.certificates.delete(id);
    await directory.until(() => directory.refusals.some(({ code }) => code === 'CERTIFICATE_NOT_CURRENT'));
    await directory.until(() => directory.enrolments.length > 1);
    await agent.until(inPhase('healthy'));
    t.not(directory.certificates.get(id)!.serial, serial);
  },
);

test.serial('a rejected machine says so and why, and joins when the word changes', async (t) => {
  const { url, directory } = await server(t);
  const agent = boot(t, () => [url]);
  await agent.until(inPhase('pending'));
  const [{ id }] = directory.enrolments as [(typeof directory.enrolments)[0]];
  directory.decisions.set(id, { state: 'rejected', reason: 'not in the inventory' });
  t.is((await agent.until(inPhase('rejected'))).notice, 'not in the inventory');
  directory.decisions.set(id, { state: 'approved', name: 'n1' });
  await agent.until(inPhase('healthy'));
});

test.serial('a certificate is renewed by a new proof while the machine stays healthy', async (t) => {
  const { url, directory } = await server(t);
  let offset = 0;
  const agent = boot(t, () => [url], software, { now: () => Date.now() + offset });
  await agent.until(inPhase('pending'));
  const [{ id, spkiDigest }] = directory.enrolments as [(typeof directory.enrolments)[0]];
  directory.decisions.set(id, { state: 'approved', name: 'n1' });
  await agent.until(inPhase('healthy'));
  const { serial } = directory.certificates.get(id)!;
  const shown = agent.views.length;
  // Of seven days, after the last moment at which it may be renewed: that is drawn by lot around two thirds of them.
  offset = 6 * 24 * 3600_000;
  await directory.until(() => directory.certificates.get(id)!.serial !== serial);
  offset = 0;
  t.is(directory.enrolments.at(-1)!.spkiDigest, spkiDigest);
  const beats = directory.heartbeats.length;
  await directory.until(() => directory.heartbeats.length > beats);
  t.deepEqual(agent.views.slice(shown), [], 'nothing changed on the console');
});

test.serial(
  'a clock that is wrong by months, either way, is set by what the server signs before the machine enrols',
  async (t) => {
    for (const days of [60, -60, 0]) {
      const { url, directory } = await server(t);
      const asked: string[] = [];
      const helper = helperOn(folder, software);
      const nonce = 'ab'.repeat(32);
      const askHelper = (async (request: Parameters<Edges['askHelper']>[0]) => {
        if (request.operation === 'clock-nonce') {
          asked.push('clock-nonce');
          return { nonce };
        }
        if (request.operation === 'set-clock') {
          asked.push(`set-clock, enrolled ${directory.enrolments.length}`);
          const time = verifyTime(request.reply, nonce, fleet.root);
          t.true(Math.abs(time - Date.now()) < CLOCK_OFF);
          return { set: true };
        }
        return helper.askHelper(request);
      }) as Edges['askHelper'];
      const agent = boot(t, () => [url], software, {
        askHelper,
        facts: helper.facts,
        now: () => Date.now() + days * 24 * 3600_000,
      });
      await agent.until(inPhase('pending'));
      // Asked again at each enrolment, as its clock stays wrong here.
      t.deepEqual(asked.slice(0, 2), days === 0 ? [] : ['clock-nonce', 'set-clock, enrolled 0'], `${days}`);
    }
  },
);

test.serial('an impostor is passed over for the real server', async (t) => {
  const foreign = await Fleet.make('theirs');
  t.teardown(() => foreign.remove());
  const impostor = await serve(foreign);
  t.teardown(() => impostor.stop());
  const { url } = await server(t);
  const agent = boot(t, () => [impostor.url, url]);
  await agent.until(inPhase('pending'));
  t.deepEqual(impostor.directory.enrolments, []);
  t.true(agent.views.some(({ notice }) => /SERVER_NOT_TRUSTED/.test(notice ?? '')));
});

test.serial('a server that breaks its commitment gets no proof', async (t) => {
  const { url, directory } = await server(t);
  const { NodeEnrolment } = await import('../../../../image/agent/member/enrolment.ts');
  const helper = helperOn(folder, software);
  const asked: string[] = [];
  const enrolment = new NodeEnrolment(await helper.facts(), fleet.root, (request) => {
    asked.push(request.operation);
    return helper.askHelper(request);
  });
  class Grinder extends BootServer {
    override async post(...args: Parameters<BootServer['post']>) {
      const reply = (await super.post(...args)) as { nonce?: string };
      // A second nonce, chosen once the keys were known.
      return (reply.nonce === undefined ? reply : { nonce: 'ab'.repeat(32) }) as never;
    }
  }
  const grinder = new Grinder(url, fleet.root);
  t.teardown(() => grinder.close());
  await t.throwsAsync(enrolment.enrol(grinder), { code: 'COMMITMENT_BROKEN' });
  t.deepEqual(asked, []);
  t.deepEqual(directory.enrolments, []);
});
