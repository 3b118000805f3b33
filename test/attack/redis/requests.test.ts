/** What was tried with every right over Redis on what two people decide. */
import test from 'ava';
import { vote } from '../../../keys/vote.ts';
import { sealerOf } from '../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { deny, list } from '../../../orchestrator/operations/request/acts.ts';
import { bansOf } from '../../../orchestrator/operators/bans-of.ts';
import { brokenGlass } from '../../../orchestrator/operators/break-glass.ts';
import { knownOperators } from '../../../orchestrator/operators/known.ts';
import { BREAK_GLASS } from '../../../orchestrator/operators/request.ts';
import { Requests } from '../../../orchestrator/operators/requests.ts';
import { redisFor, silent } from '../../orchestrator/fleet/support.ts';
import { asked, operatorOf } from '../../orchestrator/operators/people.ts';
import { keysIn } from '../../support/keys.ts';

const NOW = Date.now();

test('rolled back: a break-glass that was ended is put back as it was; it stays over', async (t) => {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  const bans = await bansOf(paths, fleet, silent);
  const [ann, bob] = [
    await operatorOf(paths, { name: 'ann' }, NOW),
    await operatorOf(paths, { name: 'bob' }, NOW),
  ];
  const requests = async () => new Requests(redis, await knownOperators(paths));
  const request = await asked(await requests(), ann, BREAK_GLASS, { minutes: 60, reason: 'fire' }, NOW);
  const approval = vote(bob.credential, 'approve', request.record.text, NOW + 1);
  await (await requests()).approve(request.id, approval, { actor: bob.actor, at: NOW + 1 }, () => ({}));
  const identity = {
    actor: ann.actor,
    role: 'core' as const,
    sites: [],
    certificate: { serial: ann.serial },
  };
  const may = async () => (await brokenGlass(redis, await knownOperators(paths), identity, NOW + 2)) !== null;
  t.true(await may());
  const before = await redis.hgetall(KEYS.request(request.id));
  const acting = { fleet, bans, paths, by: { actor: bob.actor, at: NOW + 2 } } as never;
  t.is((await deny({ request: request.id, reason: 'out' }, acting)).standing, 'denied');
  t.false(await may());

  await redis.hset(KEYS.request(request.id), before);
  t.false(await may());
  t.deepEqual(
    (await list({ all: true }, acting)).map(({ standing }) => standing),
    ['denied'],
  );
  await redis.del(KEYS.bans);
  await bans.look();
  t.false(await may(), 'nor when the log is taken away as well');
  const told = (await fleet.audit.read()).filter(({ action }) => action === 'deny-request');
  t.is(told[0]?.reason, 'break-glass of operator:ann ended: out');
});
