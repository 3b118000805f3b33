/** Nothing goes backwards that anybody still knows; what nobody knows is not acted upon. */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { EVERYWHERE } from '../../../orchestrator/fleet/decisions/restraints.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { PLANS } from '../../../orchestrator/recovery/plans.ts';
import { FileLock } from '../../../orchestrator/redis/lock.ts';
import { decideRestraint } from '../../../orchestrator/restraints/decide.ts';
import { Consents, recordConsent } from '../../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { Ledger } from '../../../orchestrator/signer/ledger.ts';
import { keysIn } from '../../support/keys.ts';
import { enrolment } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { by, fleetFor, folderFor, opened } from './support.ts';

const NODE = `tpm-${'a'.repeat(64)}`;
const OTHER = `tpm-${'b'.repeat(64)}`;
const BACK = `tpm-${'c'.repeat(64)}`;
const signed = (node: string, epoch: number) => ({
  ...{ node, epoch, digest: `${epoch}`, at: epoch, image: '1.0', floor: null, wipe: null },
});

async function sign(path: string, ...all: ReturnType<typeof signed>[]) {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
  const ledger = await Ledger.open(path, 0);
  for (const one of all) await ledger.append(one);
  await ledger.close();
}

async function epochsIn(path: string): Promise<(number | undefined)[]> {
  const ledger = await Ledger.open(path, 0);
  const found = [NODE, OTHER].map((node) => ledger.of(node)?.epoch);
  await ledger.close();
  return found;
}

test('a ban, a revoked operator, a withdrawal and the floor from after the backup survive with the old disk', async (t) => {
  const { admit, fleet, bans, paths, backup, restored } = await fleetFor(t);
  const one = enrolment(1);
  await admit(one);
  await fleet.retire(one.id, 'sold', by);
  await admit(enrolment(2));
  const ann = await operatorOf(paths, { name: 'ann' }, Date.now());
  const { consents } = signerFiles(paths);
  await mkdir(signerFiles(paths).folder, { mode: 0o700 });
  await recordConsent(consents, { say: 'floor', version: '1.0' }, { actor: 'a', at: 1 });
  await bans.look();
  const { file } = await backup();

  await banNode(fleet, bans.set, enrolment(2).id, 'stolen', by);
  await bans.look();
  await new OperatorRegister(paths.keys).revoke(ann.serial, { by: 'x', at: Date.now(), reason: 'left' });
  await recordConsent(consents, { say: 'floor', version: '2.0' }, { actor: 'a', at: 2 });
  await recordConsent(consents, { say: 'withdraw', version: '1.9' }, { actor: 'a', at: 3 });

  const without = await restored(file);
  t.deepEqual(without.told.survived, { decisions: 0, lines: 0, orders: 0, files: 0 });
  t.is(
    (await opened(t, without.paths)).bans.banOf({ id: enrolment(2).id }),
    null,
    'the backup alone knows no ban',
  );
  const rules = async (there = without.paths) => new Consents(signerFiles(there).consents).current();
  t.is((await rules()).floor, '1.0');

  const { paths: there, told } = await restored(file, { survivors: [paths.root] });
  t.is(told.survived.decisions, 1);
  t.is(told.survived.lines, 3);
  const after = await opened(t, there);
  t.is(after.bans.banOf({ id: enrolment(2).id })?.reason, 'stolen');
  t.is((await after.fleet.nodes.get(enrolment(2).id))?.state, 'quarantined');
  t.like(await rules(there), { floor: '2.0', withdrawn: new Set(['1.9']) });
  t.is((await new OperatorRegister(there.keys).list())[0]?.revoked?.reason, 'left');
});

test('the copy of bans.log of another server is enough for bans', async (t) => {
  const { fleet, bans, paths, backup, folder, restored } = await fleetFor(t);
  const { file } = await backup();
  await banNode(fleet, bans.set, NODE, 'stolen', by);
  await bans.look();
  const copy = join(folder, 'of-the-other-server');
  await cp(journalFile(paths), copy);
  const { paths: there, told } = await restored(file, { survivors: [copy] });
  t.is(told.survived.decisions, 1);
  t.is((await opened(t, there)).bans.banOf({ id: NODE })?.reason, 'stolen');
});

test('a survivor of another fleet, one that runs, one that is not there, one that is older', async (t) => {
  const { paths, backup, options, restored, fleet, bans } = await fleetFor(t);
  const old = await folderFor(t);
  await cp(journalFile(paths), join(old, 'bans.log'));
  await banNode(fleet, bans.set, NODE, 'stolen', by);
  await bans.look();
  const { file } = await backup();
  const theirs = await folderFor(t);
  await keysIn(join(theirs, 'keys'), 'theirs');
  const refused = async (survivor: string) => {
    const { restore } = await import('../../../orchestrator/backup/restore.ts');
    await t.throwsAsync(restore(await options(file, { survivors: [survivor] })), {
      code: 'RESTORE_SURVIVOR',
    });
  };
  await refused(theirs);
  await refused(join(theirs, 'nowhere'));
  await mkdir(paths.bootserver, { recursive: true });
  const lock = await FileLock.open(join(paths.bootserver, 'lock'));
  t.true(await lock.exclusiveNow());
  await refused(paths.root);
  await lock.close();
  const { paths: there, told } = await restored(file, { survivors: [old, paths.root] });
  t.is(told.survived.decisions, 0);
  t.is(
    (await opened(t, there)).bans.banOf({ id: NODE })?.reason,
    'stolen',
    'an older copy takes nothing away',
  );
});

test('keys that were made after the backup come from the old disk, and a file that is older there does not', async (t) => {
  const { paths, backup, restored } = await fleetFor(t);
  const { file } = await backup();
  await writeFile(join(paths.keys, 'ca', 'nodes-0123456789abcdef.crt'), 'newer');
  await writeFile(join(paths.keys, 'secure-boot', 'lists.json'), '{"generation":2}');
  const { paths: there, told } = await restored(file, { survivors: [paths.root] });
  t.is(told.survived.files, 2);
  t.is(await readFile(join(there.keys, 'ca', 'nodes-0123456789abcdef.crt'), 'utf8'), 'newer');
});

test('no epoch means two things: above all that the backup and the old disk know there is room', async (t) => {
  const { paths, backup, restored } = await fleetFor(t);
  const { ledger } = signerFiles(paths);
  await sign(ledger, signed(NODE, 7), signed(OTHER, 3));
  const { file } = await backup();
  await sign(ledger, signed(NODE, 9));
  t.deepEqual(await epochsIn(signerFiles((await restored(file)).paths).ledger), [100_007, 100_003]);
  const joined = await restored(file, { survivors: [paths.root] });
  t.is(joined.told.survived.orders, 1);
  t.deepEqual(await epochsIn(signerFiles(joined.paths).ledger), [100_009, 100_003]);
  t.deepEqual(await epochsIn(ledger), [9, 3], 'the old disk stays as it is');
  await rm(ledger);
  // Its last line is torn, as after a crash.
  await writeFile(ledger, `${JSON.stringify(signed(OTHER, 5))}\n{"node":"tpm-`);
  const torn = await restored(file, { survivors: [paths.root] });
  t.deepEqual(await epochsIn(signerFiles(torn.paths).ledger), [100_007, 100_005]);
});

test('a disk is not wiped on a word from before: it may have been wiped since', async (t) => {
  const { paths, backup, restored } = await fleetFor(t);
  const { folder, consents } = signerFiles(paths);
  await mkdir(folder, { mode: 0o700 });
  await recordConsent(consents, { say: 'wipe', node: NODE }, { actor: 'a', at: Date.now() });
  const { paths: there, told } = await restored((await backup()).file);
  t.deepEqual(told.wipes, [NODE]);
  t.is((await new Consents(signerFiles(there).consents).current()).wipes.size, 0);
});

test('of two files that went apart the later word counts, and no older one comes behind it', async (t) => {
  const { paths, backup, restored } = await fleetFor(t);
  const { folder, consents } = signerFiles(paths);
  await mkdir(folder, { mode: 0o700 });
  const say = (version: string, at: number) =>
    recordConsent(consents, { say: 'floor', version }, { actor: 'a', at });
  await say('1.0', 1);
  const elsewhere = await folderFor(t);
  await mkdir(join(elsewhere, 'signer'));
  await cp(consents, join(elsewhere, 'signer', 'words.jsonl'));
  await say('3.0', 3);
  const { file } = await backup();
  await recordConsent(
    join(elsewhere, 'signer', 'words.jsonl'),
    { say: 'floor', version: '2.0' },
    { actor: 'b', at: 2 },
  );
  const { paths: there, told } = await restored(file, { survivors: [elsewhere] });
  t.is(told.survived.lines, 1);
  t.is((await new Consents(signerFiles(there).consents).current()).floor, '3.0');
});

test('a node that was fenced when the backup was made, and is back since, is not wiped by itself; a plan begins no other', async (t) => {
  const { fleet, backup, restored } = await fleetFor(t);
  const incident = (node: string, step: 'fenced' | 'open') => ({
    ...{
      node,
      name: `web-${step}`,
      site: 'default',
      number: 1,
      step,
      signal: 'operator',
      evidence: [],
      reason: 'x',
    },
    ...{
      road: step === 'open' ? ('broken' as const) : ('compromised' as const),
      tries: {},
      wipe: null,
      openedAt: 1,
    },
  });
  await decideIncident(fleet, NODE, () => incident(NODE, 'fenced'), by);
  await decideIncident(fleet, OTHER, () => incident(OTHER, 'open'), by);
  const plan = {
    ...{ kind: 'plan' as const, site: 'default', atOnce: 1, startedAt: 1, ended: null },
    nodes: [{ id: NODE, name: 'web-fenced', rack: null, number: 0 }],
  };
  await PLANS.decide(fleet, 'p1', () => plan, { ...by, reason: 'x' });
  const word = { service: 'web/shop', node: EVERYWHERE, how: 'freeze' as const, rate: null, reason: 'x' };
  await decideRestraint(fleet, word, by);
  await decideRestraint(fleet, { ...word, service: 'web/cart', node: NODE }, by);
  await decideRestraint(fleet, { ...word, service: 'web/cart', node: NODE, how: null }, by);
  await decideRestraint(fleet, { ...word, service: 'web/cart', node: OTHER }, by);
  await decideIncident(fleet, BACK, () => incident(BACK, 'fenced'), by);
  for (const step of ['wiping', 'wiped', 'returning'] as const)
    await decideIncident(fleet, BACK, (known) => ({ ...known!, step }), by);
  const { paths: there, told } = await restored((await backup()).file);
  t.deepEqual(told.restraints.toSorted(), [`frozen: web/cart on ${OTHER}`, 'frozen: web/shop']);
  t.deepEqual(told.incidents.toSorted(), ['web-fenced', 'web-open']);
  const after = await opened(t, there);
  for (const node of [NODE, OTHER]) t.is(after.fleet.decisions.incidents.of(node)?.step, 'person');
  t.is(after.fleet.decisions.incidents.of(BACK)?.step, 'ended', 'it is a member, and stays one');
  t.regex((await PLANS.list(after.fleet))[0]?.value?.ended ?? '', /backup of .* was restored/);
});
