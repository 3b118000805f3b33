/** Last week's backup is put back: nothing that was taken away since comes back to life with it. */

import { cp, rm } from 'node:fs/promises';
import test from 'ava';
import { generationsOf } from '../../../keys/generations.ts';
import { LoadedAuthorities } from '../../../orchestrator/authorities/loaded.ts';
import { append } from '../../../orchestrator/fleet/decisions/append.ts';
import { sealOperator } from '../../../orchestrator/fleet/decisions/entry.ts';
import { sealerOf } from '../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { byCertificate } from '../../../orchestrator/operators/identify.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { activate, prepare, revoke, showAuthorities, taint } from '../../../orchestrator/rotation/rotate.ts';
import { keysIn } from '../../support/keys.ts';
import { silent, temporaryData } from '../fleet/support.ts';
import { operatorOf } from '../operators/people.ts';
import { keeperOn } from './support.ts';

const by = { actor: 'operator:root@host', at: Date.now() };

test('keys or Redis from before a rotation and a revocation: the old CA signs nothing, the operator stays out', async (t) => {
  const paths = await temporaryData(t);
  await keysIn(paths.keys);
  const ann = await operatorOf(paths, { name: 'ann' }, by.at);
  let connection = await connect(paths, { url: '' });
  let fleet = new Fleet(connection.redis, sealerOf(paths.keys));
  await fleet.audit.append({ ...by, action: 'x', reason: 'x' });
  await connection.close();
  for (const folder of [paths.redis, paths.keys]) await cp(folder, `${folder}.backup`, { recursive: true });

  connection = await connect(paths, { url: '' });
  fleet = new Fleet(connection.redis, sealerOf(paths.keys));
  const keeper = await keeperOn(paths, fleet);
  const options = () => ({
    fleet,
    paths,
    bans: keeper,
    by: { ...by, at: Date.now() },
    reason: 'test',
    force: true,
  });
  const old = (await generationsOf(paths.keys, 'nodes'))[0]!.id;
  const next = await prepare('nodes', options());
  await keeper.look();
  await activate('nodes', undefined, options());
  await keeper.look();
  await taint('nodes', old, options());
  await keeper.look();
  await revoke('nodes', old, options());
  const revocation = { by: by.actor, at: by.at, reason: 'left' };
  await new OperatorRegister(paths.keys).revoke(ann.serial, revocation);
  const entry = sealOperator({ kind: 'operator', ...by, reason: 'left', name: 'ann', serial: ann.serial });
  await append(fleet, entry, by, 'left');
  await keeper.look();
  await connection.close();
  const steps = keeper.set.authoritySteps.map(({ step }) => step);
  t.deepEqual(steps, ['prepare', 'activate', 'taint', 'revoke']);

  const restore = async (folder: string) => {
    await rm(folder, { recursive: true });
    await cp(`${folder}.backup`, folder, { recursive: true });
  };
  await restore(paths.redis);
  connection = await connect(paths, { url: '' });
  t.teardown(connection.close);
  fleet = new Fleet(connection.redis, sealerOf(paths.keys));
  t.is((await fleet.decisionLog.set()).revision, 0, 'the backup knows nothing');
  const after = await keeperOn(paths, fleet);
  t.deepEqual(
    (await fleet.decisionLog.set()).authoritySteps.map(({ step }) => step),
    steps,
    'put back',
  );
  const states = async () => Object.fromEntries((await showAuthorities(paths, after.set, 'nodes')).states);
  t.deepEqual(await states(), { [old]: 'revoked', [next.id]: 'active' });

  await restore(paths.keys);
  t.is((await new OperatorRegister(paths.keys).list())[0]?.revoked, null, 'the backup knows no revocation');
  await t.throwsAsync(byCertificate(paths, ann.file, Date.now()), {
    code: 'OPERATOR_REVOKED',
    message: /left/,
  });
  t.deepEqual(await states(), { [old]: 'revoked' });
  const { signal } = new AbortController();
  await t.throwsAsync(LoadedAuthorities.open(paths.keys, after, silent, signal), { code: 'CA_NONE' });
});
