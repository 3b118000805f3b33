/** What was tried on the history by somebody with every right over Redis, who knows how it is chained. */
import test, { type ExecutionContext } from 'ava';
import { nextLink } from '../../../orchestrator/fleet/audit/chain.ts';
import { SealFile } from '../../../orchestrator/fleet/audit/seals.ts';
import { historyKeys } from '../../../orchestrator/fleet/audit/tags.ts';
import { sealAudit, verifyAudit } from '../../../orchestrator/fleet/audit/verify.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { accept } from '../../../orchestrator/operations/audit/acts.ts';
import { enrolment, START } from '../../orchestrator/fleet/support.ts';
import { by, server } from './server.ts';

async function history(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, fleet } = world;
  const file = new SealFile(paths);
  const keys = await historyKeys(paths.keys);
  const seal = () => sealAudit(fleet.audit, file, START, { keys });
  const verify = async () => verifyAudit(fleet.audit, await file.read(), START, { keys });
  /** A line at the end that fits. */
  const forge = async (text: string) => {
    const { seq, hash } = nextLink((await fleet.audit.head())!, text);
    await redis.xadd(KEYS.audit, '*', 'entry', text, 'seq', seq, 'hash', hash);
    await redis.hset(KEYS.auditHead, { seq, hash });
  };
  await fleet.audit.append({ ...by, action: 'note', reason: 'it begins' });
  t.is(await seal(), null);
  return { ...world, file, seal, verify, forge };
}

const line = { at: START, actor: 'operator:bob', action: 'approve', reason: 'the four words agree' };

test('added at the end, in the name of an operator: it is named, and never sealed', async (t) => {
  const { file, seal, verify, forge } = await history(t);
  const tag = '"tag":"01234567.abcdefgh.1.aaaaaaaaaaaaaaaaaaaaaa"';
  for (const text of [
    JSON.stringify(line),
    `${JSON.stringify(line).slice(0, -1)},${tag}}`,
    '{}',
    'nothing',
  ]) {
    const before = (await file.read()).seals.length;
    await forge(text);
    t.like(await seal(), { kind: 'forged' }, text);
    t.like((await verify()).fault, { kind: 'forged' });
    t.is((await file.read()).seals.length, before);
  }
});

test('played again: a line that a server wrote stands there twice', async (t) => {
  const { redis, fleet, seal, verify, forge } = await history(t);
  await fleet.audit.append(line);
  const [[, fields] = []] = await redis.xrevrange(KEYS.audit, '+', '-', 'COUNT', 1);
  await forge(fields![fields!.indexOf('entry') + 1]!);
  t.like(await seal(), { kind: 'forged' });
  t.regex((await verify()).fault?.what ?? '', /twice/);
});

test('changed, with its hash and all behind it: the tag no longer fits', async (t) => {
  const { redis, fleet, seal, forge } = await history(t);
  const head = (await fleet.audit.head())!;
  await fleet.audit.append(line);
  const [[key, fields] = []] = await redis.xrevrange(KEYS.audit, '+', '-', 'COUNT', 1);
  await redis.xdel(KEYS.audit, key!);
  await redis.hset(KEYS.auditHead, head);
  await forge(fields![fields!.indexOf('entry') + 1]!.replace('bob', 'eve'));
  t.like(await seal(), { kind: 'forged' });
});

test('what servers write side by side is whole, whatever they lose and send again', async (t) => {
  const { redis, fleet, directory, open, seal, verify } = await history(t);
  const other = await open();
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        (i % 2 ? fleet : other.fleet).audit.append({ ...line, at: START + i }),
      ),
    );
    await directory.enrol(enrolment(round + 1));
    await redis.script('FLUSH');
  }
  t.is(await seal(), null);
  t.is((await verify()).fault, null);
});

test('after a person has looked, the history goes on behind what was forged', async (t) => {
  const { paths, fleet, seal, verify, forge } = await history(t);
  await forge(JSON.stringify(line));
  await accept({ reason: 'the password of Redis was known' }, { fleet, paths, by } as never);
  t.is((await verify()).fault, null);
  await fleet.audit.append(line);
  t.is(await seal(), null);
  await forge(JSON.stringify(line));
  t.like(await seal(), { kind: 'forged' });
});

test('the history of the version before is sealed as it is, and counts as whole; from then on tags are needed', async (t) => {
  const { redis, paths, fleet } = await server(t);
  const keys = await historyKeys(paths.keys);
  const file = new SealFile(paths);
  const first = nextLink((await fleet.audit.head())!, JSON.stringify(line));
  await redis.xadd(KEYS.audit, '*', 'entry', JSON.stringify(line), 'seq', first.seq, 'hash', first.hash);
  await redis.hset(KEYS.auditHead, { seq: first.seq, hash: first.hash });
  t.is(await sealAudit(fleet.audit, file, START, { keys }), null);
  t.is((await verifyAudit(fleet.audit, await file.read(), START, { keys })).fault, null);
});
