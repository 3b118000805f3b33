/**
 * The way of a secret from a boot server to root on a node: real TLS, real TPMs, the agent in between with all that it may
 * do. What the fleet says about who gets what is test/orchestrator/secrets/judge.test.ts.
 */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { mustRun } from '../../../base/run.ts';
import type { SecretsOfFleet } from '../../../bootserver/enroll/secrets.ts';
import { parseTpmPublic } from '../../../formats/tpm/public.ts';
import { heldFor, secretsIn } from '../../../image/agent/root/services/secrets.ts';
import {
  askSecrets,
  type ExchangePlaces,
  takeSecrets,
} from '../../../image/agent/root/services/secrets-exchange.ts';
import { Tpm } from '../../../image/agent/root/tpm.ts';
import { PATHS, statusReply } from '../../../protocol/enrolment/messages.ts';
import {
  type SecretsAnswer,
  type SecretsQuestion,
  secretsAnswer,
  secretsNonceReply,
} from '../../../protocol/enrolment/secrets.ts';
import type { Order } from '../../../protocol/order.ts';
import { askData, exchangeKey, openSecrets, policyOf } from '../../../protocol/service/sealed.ts';
import { decodeSecrets } from '../../../protocol/service/secrets.ts';
import { FLEET_KEYS } from './support/event-log.ts';
import { Fleet, serve } from './support/fleet.ts';
import { type HonestNode, Wire } from './support/node.ts';
import { twoMachines } from './support/pair.ts';
import type { SoftwareTpm } from './support/swtpm.ts';

const VALUE = 'correct-horse-battery-staple';
const SHOP = { name: 'web/shop', version: '1.4', sha256: 'a'.repeat(64) };
const OTHER = { name: 'fleet/other', version: '1', sha256: 'b'.repeat(64) };

const fleet = await Fleet.make();
const theirs = await Fleet.make('theirs');
const { folders, software, otherSoftware, node, other, stop } = await twoMachines(fleet);

test.after.always(async () => {
  await stop();
  await fleet.remove();
  await theirs.remove();
});

let boots = 0;

async function setUp(t: ExecutionContext) {
  const given: { id: string; name: string }[] = [];
  const values = new Map([['db-password', VALUE]]);
  const state = { number: 3, refuse: null as BootwaveError | null };
  const kept: Buffer[] = [];
  const secrets: SecretsOfFleet = {
    newest: async () => state.number,
    numberOf: async () => state.number,
    async give({ id, service, verdict }) {
      if (state.refuse !== null) throw state.refuse;
      t.is(verdict.attested, 'ok');
      given.push({ id, name: service.name });
      const copies = [...values].map(([name, value]) => [name, Buffer.from(value)] as const);
      kept.push(...copies.map(([, value]) => value));
      return { number: state.number, values: new Map(copies) };
    },
  };
  const server = await serve(fleet, { secrets, secureBootKeys: async () => FLEET_KEYS });
  const plain = new Wire(server.url, fleet.root);
  const closing: (() => unknown)[] = [() => plain.close()];
  t.teardown(async () => {
    for (const close of closing) close();
    await server.stop();
  });
  const member = async (machine: HonestNode, tpm: SoftwareTpm, folder: string) => {
    const { session } = await plain.start();
    const opened = { session, ...(await plain.keys(machine.keysRequest(session))) };
    const first = await plain.server.post(PATHS.proof, await machine.proofRequest(opened), statusReply);
    server.directory.decisions.set(first.id, { state: 'approved', name: 'n1' });
    const reply = await plain.server.post(PATHS.status, { session }, statusReply);
    if (reply.state !== 'approved') throw new Error(reply.state);
    const key = machine.key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const wire = new Wire(server.url, fleet.root, { key, chain: reply.chain });
    closing.push(() => wire.close());
    boots += 1;
    const run = join(folder, `run-${boots}`);
    const fleetFiles = join(folder, 'fleet');
    await mkdir(fleetFiles, { recursive: true });
    await writeFile(join(fleetFiles, 'root.crt'), fleet.root);
    const real = new Tpm(join(folder, 'work'), tpm.environment);
    const services = [SHOP, OTHER];
    const places: ExchangePlaces = {
      ...{ run, fleet: fleetFiles, now: Date.now },
      tpm: {
        identify: () => tpm.exclusive(() => real.identify()),
        heldPcrs: () => tpm.exclusive(() => real.heldPcrs()),
        deliveryKey: (policy) => tpm.exclusive(() => real.deliveryKey(policy)),
        openDelivery: (...args) => tpm.exclusive(() => real.openDelivery(...args)),
      },
      quote: async (extra) => ({ ...(await machine.work!.quote(extra)), eventLog: null }),
      order: async () => ({
        order: { node: first.id, services } as unknown as Order,
        envelope: 'as it was signed',
      }),
    };
    const nonce = async (service = SHOP) =>
      Buffer.from((await wire.server.post(PATHS.secretsNonce, { service }, secretsNonceReply)).nonce, 'hex');
    return {
      ...{ wire, id: first.id, places, run, services, real, tpm },
      nonce,
      ask: async (service = SHOP) => askSecrets(service.name, await nonce(service), places),
      send: (question: SecretsQuestion) => wire.server.post(PATHS.secrets, question, secretsAnswer),
      take: (answer: SecretsAnswer, name = SHOP.name) => takeSecrets(name, answer, places),
      held: (service = SHOP) => heldFor(secretsIn(run), service),
    };
  };
  return {
    ...{ server, given, values, state, kept },
    first: () => member(node, software, folders[0]),
    second: () => member(other, otherSoftware, folders[1]),
  };
}

async function refusedWith(
  t: ExecutionContext,
  code: string,
  work: Promise<unknown>,
): Promise<BootwaveError> {
  const error = await t.throwsAsync(work, { instanceOf: BootwaveError });
  t.is(error.code, code, error.message);
  return error;
}

test.serial(
  'a secret comes to root of the node that its order names it for, and is seen by nobody on its way',
  async (t) => {
    const { first, given, kept, state, values, server } = await setUp(t);
    const { ask, send, take, held, run, id, wire } = await first();
    const beat = {
      running: { version: '1', kernel: '6', bootId: 'b' },
      uptime: 1,
      healthy: true,
      reason: '',
    };
    t.is((await wire.send(PATHS.heartbeat, beat)).secrets, 3, 'a node hears that there is something');
    const question = await ask();
    const answer = await send(question);
    t.deepEqual(given, [{ id, name: 'web/shop' }]);
    for (const carried of [question, answer]) t.false(JSON.stringify(carried).includes(VALUE));
    t.true(
      kept.every((value) => value.every((byte) => byte === 0)),
      'the server has overwritten its copy',
    );
    t.deepEqual(await take(answer), { changed: true });
    const found = (await held())!;
    t.is(found.number, 3);
    t.is(await readFile(join(found.folder, 'db-password'), 'utf8'), VALUE);
    t.is((await stat(join(found.folder, 'db-password'))).mode & 0o777, 0o400);
    t.deepEqual(
      (await readdir(join(found.folder, '..'))).filter((name) => name.endsWith('.json')),
      ['held.json'],
      'the key that opened it is gone',
    );
    t.is((await stat(secretsIn(run))).mode & 0o777, 0o711);

    // The same values under another number, of another server: nothing that runs has to start again.
    state.number = 9;
    t.deepEqual(await take(await send(await ask())), { changed: false });
    t.like(await held(), { number: 9, tag: found.tag });
    values.set('db-password', 'another');
    t.deepEqual(await take(await send(await ask())), { changed: true });
    t.not((await held())!.tag, found.tag);
    t.is(await readFile(join(found.folder, 'db-password'), 'utf8'), VALUE, 'what runs keeps its own');
    t.deepEqual(server.directory.refusals, []);
  },
);

test.serial(
  'an answer is for one question of one instance on one node, and only a boot server of this fleet gives one',
  async (t) => {
    const { first, second } = await setUp(t);
    const one = await first();
    const two = await second();
    const held = async () => (await one.held())?.number;

    await refusedWith(t, 'SECRETS_UNASKED', one.take(await two.send(await two.ask())));
    const older = await one.send(await one.ask());
    const question = await one.ask();
    await refusedWith(t, 'SECRETS_SIGNATURE', one.take(older));
    await one.ask(OTHER);
    await refusedWith(t, 'QUOTE_EXTRA_DATA', one.send(question));
    await refusedWith(t, 'NONCE_SPENT', one.send(question));

    const fresh = await one.ask();
    const answer = await one.send(fresh);
    await refusedWith(t, 'SECRETS_SIGNATURE', one.take(answer, OTHER.name));
    const theirOne = theirs.serverLeaf();
    const nodeLeaf = fleet.leaf(fleet.authorities.nodes, { usage: 'client' });
    const changes: [string, Partial<SecretsAnswer>][] = [
      ['SECRETS_SIGNATURE', { number: answer.number + 1 }],
      ['SECRETS_SIGNATURE', { sealed: Buffer.alloc(40).toString('base64') }],
      ['SECRETS_SIGNATURE', { publicKey: exchangeKey().publicKey.toString('base64') }],
      ['SECRETS_SIGNATURE', { credential: older.credential }],
      ['SECRETS_SIGNATURE', { signature: older.signature }],
      ['SECRETS_SIGNATURE', { chain: '' }],
      ['SERVER_NOT_TRUSTED', { chain: theirOne.chain }],
      ['SERVER_NOT_TRUSTED', { chain: nodeLeaf.chain }],
    ];
    for (const [code, change] of changes) await refusedWith(t, code, one.take({ ...answer, ...change }));
    t.is(await held(), undefined);
    await one.take(answer);
    t.is(await held(), 3);
    await refusedWith(t, 'SECRETS_UNASKED', one.take(answer));

    // What the order in force does not name is not asked for, whatever the agent says.
    one.services.length = 0;
    await refusedWith(t, 'SECRETS_SERVICE', one.ask());
  },
);

test.serial(
  'the agent, with all that it may ask of root, opens nothing, nor with keys of its own',
  async (t) => {
    const { first, second, values } = await setUp(t);
    const one = await first();
    const { id, places, real, tpm } = one;
    // It makes a question as root does, with a key whose private half it knows. Its quotes root makes for it (`quote`).
    const forge = async (change: (own: SecretsQuestion) => Partial<SecretsQuestion> = () => ({})) => {
      const { privateKey, publicKey } = exchangeKey();
      const base = await one.ask();
      const bent = { ...base, publicKey: publicKey.toString('base64'), ...change(base) };
      const ask = { node: id, service: SHOP, publicKey };
      const key = Buffer.from(bent.key, 'base64');
      const quote = await places.quote(askData(ask, await one.nonce(), key));
      return { question: { ...bent, quote }, privateKey, ask };
    };
    const { question, privateKey, ask } = await forge();
    const answer = await one.send(question);
    const credential = [answer.credential.blob, answer.credential.seed].map((text) =>
      Buffer.from(text, 'base64'),
    );
    // Root opens for it only what names the attestation key (`activate`), and that is not what came.
    await refusedWith(
      t,
      'TPM_ACTIVATION',
      tpm.exclusive(() => real.activate(credential[0]!, credential[1]!)),
    );
    const sealed = {
      number: answer.number,
      publicKey: Buffer.from(answer.publicKey, 'base64'),
      sealed: Buffer.from(answer.sealed, 'base64'),
    };
    t.throws(() => openSecrets(ask, privateKey, sealed, Buffer.alloc(32)), { code: 'SECRETS_SEALED' });
    // Nor does root take it for its own.
    await refusedWith(t, 'SECRETS_SIGNATURE', one.take(answer));
    // That it is the TPM alone that keeps it out: with what the TPM would give, it opens.
    const policy = policyOf(question.quote.pcrs);
    const secret = await places.tpm!.openDelivery(policy, credential[0]!, credential[1]!);
    t.is(
      decodeSecrets(openSecrets(ask, privateKey, sealed, secret))
        .get('db-password')!
        .toString(),
      VALUE,
    );

    // It names the key whose credentials it may have opened, or one of its own making.
    const { question: withAk } = await forge((own) => ({ key: own.ak }));
    await refusedWith(t, 'DELIVERY_KEY_UNSUITABLE', one.send(withAk));
    const { question: withEk } = await forge((own) => ({ key: own.ek }));
    await refusedWith(t, 'DELIVERY_KEY_UNSUITABLE', one.send(withEk));
    const loose = await tpm.exclusive(() => real.deliveryKey(Buffer.alloc(32)));
    const { question: withLoose } = await forge(() => ({ key: loose.toString('base64') }));
    await refusedWith(t, 'DELIVERY_KEY_UNSUITABLE', one.send(withLoose));

    // PCRs that nothing vouches for are of no use: the quote shows others.
    const bent = {
      ...places.tpm!,
      heldPcrs: async () => ({ ...(await real.heldPcrs()), 11: 'ab'.repeat(32) }),
    };
    const believed = await askSecrets(SHOP.name, await one.nonce(), { ...places, tpm: bent });
    await refusedWith(t, 'DELIVERY_KEY_UNSUITABLE', one.send(believed));

    // The keys of another machine, which it has taken over as well.
    const two = await second();
    const theirQuestion = await two.ask();
    await refusedWith(
      t,
      'SECRETS_EK',
      one.nonce().then(() => one.send(theirQuestion)),
    );
    const mixed = { ...theirQuestion, ek: question.ek };
    await refusedWith(
      t,
      'QUOTE_EXTRA_DATA',
      one.nonce().then(() => one.send(mixed)),
    );
    t.is(values.get('db-password'), VALUE);
    t.is(parseTpmPublic(Buffer.from(question.ek, 'base64'), 'EK').digest, id.slice(4));
  },
);

test.serial('the machine starts something else before the answer is opened: it opens no more', async (t) => {
  const { first } = await setUp(t);
  const { ask, send, take, held } = await first();
  const answer = await send(await ask());
  await mustRun('tpm2_pcrextend', [`12:sha256=${'11'.repeat(32)}`], { env: software.environment });
  await refusedWith(t, 'TPM_ACTIVATION', take(answer));
  t.is(await held(), null);
  // What it is now it may show; then the fleet judges that.
  await take(await send(await ask()));
  t.is((await held())?.number, 3);
});

test.serial('what the fleet says is what the agent hears; nothing of it is a value', async (t) => {
  const { first, state, server } = await setUp(t);
  const { ask, send, places } = await first();
  state.refuse = new BootwaveError({ code: 'SECRETS_ORDER', what: 'no order names it' });
  await refusedWith(t, 'SECRETS_ORDER', send(await ask()));
  t.is(server.directory.refusals.at(-1)?.code, 'SECRETS_ORDER');
  server.directory.reattestDecision = { state: 'refused', code: 'ENROL_MEASUREMENT', what: 'strange' };
  await refusedWith(t, 'ENROL_MEASUREMENT', send(await ask()));
  server.directory.members = false;
  await refusedWith(t, 'CERTIFICATE_NOT_CURRENT', send(await ask()));
  await refusedWith(t, 'SECRETS_TPM', askSecrets(SHOP.name, Buffer.alloc(32), { ...places, tpm: null }));
});
