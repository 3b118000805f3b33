/** What a signer grants: by what a person has signed just now, and by what is on its own disk; nothing of it comes from Redis. */
import test, { type ExecutionContext } from 'ava';
import type { OperatorClaim } from '../../../keys/operator.ts';
import { vote } from '../../../keys/vote.ts';
import type { DecidedRestraints } from '../../../orchestrator/fleet/decisions/restraints.ts';
import { DecidedRollouts } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { type Slice, sliceKey } from '../../../orchestrator/fleet/decisions/slices.ts';
import { knownOperators } from '../../../orchestrator/operators/known.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { makeWish } from '../../../orchestrator/operators/request.ts';
import { EXEC, judgeGrant } from '../../../orchestrator/signer/grant.ts';
import { keysIn } from '../../support/keys.ts';
import { temporaryData } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { NODE } from './orders.ts';

const SHOP = 'fleet/shop@probe';
const NOW = Date.now();
const SLICE: Slice = {
  ...{ name: 'probe', state: 'live', where: {}, count: 1, perSite: null, teams: [], expires: NOW + 1000 },
  ...{ share: { cpu: 1, memory: 1, disk: 0, ports: [] }, services: [`${SHOP}:1`] },
  ...{ template: null, said: 1, nodes: [NODE], reason: '', epoch: 1, by: 'x', at: 1 },
};
const INPUT = { name: 'probe', node: NODE, instance: SHOP, command: ['ls', '/'] };

type Case = {
  claim?: Partial<OperatorClaim>;
  slice?: Partial<Slice> | null;
  input?: object;
  operation?: string;
  actor?: string;
  /** Milliseconds by which it was signed before. */
  ago?: number;
  services?: string[];
  frozen?: boolean;
  word?: 'ask' | 'approve';
  revoked?: boolean;
};

async function granting(t: ExecutionContext) {
  const paths = await temporaryData(t);
  await keysIn(paths.keys);
  let people = 0;
  return async (one: Case) => {
    people += 1;
    const name = `eve${people}`;
    const who = await operatorOf(paths, { name, role: 'slice-owner', slices: ['probe'], ...one.claim }, NOW);
    if (one.revoked === true)
      await new OperatorRegister(paths.keys).revoke(who.serial, { by: 'x', at: NOW - 1, reason: 'left' });
    const at = NOW - (one.ago ?? 0);
    const input = { ...INPUT, ...one.input };
    const text = makeWish({
      operation: one.operation ?? EXEC,
      input,
      reason: '',
      actor: one.actor ?? who.actor,
      at,
    });
    const rollouts = new DecidedRollouts();
    if (one.slice !== null)
      rollouts.add({
        key: sliceKey('probe'),
        epoch: 1,
        at: 1,
        body: JSON.stringify({ ...SLICE, ...one.slice }),
      });
    const restraints = {
      on: () => (one.frozen === true ? [{ name: SHOP, how: 'freeze' }] : []),
    } as unknown as DecidedRestraints;
    const services = (one.services ?? [SHOP]).map((name) => ({ name, version: '1', sha256: '', size: 1 }));
    try {
      return judgeGrant(
        { text, vote: vote(who.credential, one.word ?? 'ask', text, at) },
        { known: await knownOperators(paths), decided: { rollouts, restraints }, services, now: NOW },
      );
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  };
}

test('an owner gets it for their slice, on its nodes, as it is there now; and so does the core team', async (t) => {
  const granted = await granting(t);
  const good = await granted({});
  t.like(good, { node: NODE, instance: SHOP, command: ['ls', '/'], issuedAt: NOW, expires: NOW + 60_000 });
  const core = { claim: { role: 'core' as const, slices: [] } };
  t.like(await granted(core), { instance: SHOP });
  const again = await granted({});
  t.true(typeof good === 'object' && typeof again === 'object' && good.nonce !== again.nonce);
});

test('nothing is granted by anybody else, at another time, or for what nobody has decided', async (t) => {
  const granted = await granting(t);
  const no = async (code: string, one: Case) => t.is(await granted(one), code, JSON.stringify(one));
  await no('SIGNER_GRANT_PERSON', { claim: { slices: ['other'] } });
  await no('SIGNER_GRANT_PERSON', { claim: { role: 'viewer', slices: [] } });
  await no('SIGNER_GRANT_PERSON', { claim: { role: 'site-admin', slices: [], sites: ['munich'] } });
  await no('OPERATOR_REVOKED', { revoked: true });
  await no('OPERATOR_PROOF', { word: 'approve' });
  await no('SIGNER_GRANT_TEXT', { actor: 'operator:ann' });
  for (const ago of [60_001, -60_001]) await no('SIGNER_GRANT_TEXT', { ago });
  await no('SIGNER_GRANT_TEXT', { operation: 'slice delete' });
  for (const input of [{ command: [] }, { node: '../x' }, { instance: 'shop' }, { more: true }])
    await no('SIGNER_GRANT_TEXT', { input });
  await no('SIGNER_GRANT_SLICE', { slice: null });
  await no('SIGNER_GRANT_SLICE', { slice: { state: 'ended' } });
  await no('SIGNER_GRANT_SLICE', { slice: { expires: NOW } });
  await no('SIGNER_GRANT_SLICE', { slice: { nodes: [] } });
  for (const instance of ['fleet/shop@other', 'fleet/shop'])
    await no('SIGNER_GRANT_SLICE', { input: { instance }, services: [instance] });
  await no('SIGNER_GRANT_ORDER', { services: [] });
  await no('SIGNER_GRANT_ORDER', { services: ['fleet/shop', 'fleet/shop@other'] });
  await no('SIGNER_GRANT_FROZEN', { frozen: true });
});
