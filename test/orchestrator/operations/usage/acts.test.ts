/** `node metrics`: asked over the link now. */
import test from 'ava';
import { refusal } from '../../../../base/error.ts';
import { find } from '../../../../orchestrator/operations/catalogue.ts';
import { perform } from '../../../../orchestrator/operations/perform.ts';
import { usageOf } from '../../../image/agent/member/link/handlers.ts';
import { certificateFor, enrolment, fleetFor } from '../../fleet/support.ts';
import { parse } from '../../metrics/parse.ts';
import { instanceOf, ordered } from '../../usage/orders.ts';
import { houseOf } from '../support.ts';

test('the text of one node, without a word that its order does not know', async (t) => {
  const { fleet, directory, by, paths } = await fleetFor(t);
  const e = enrolment(1);
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by('bob'), 'web1');
  await directory.recordCertificate(e.id, certificateFor(e));
  await ordered(fleet, e.id, ['fleet/chrony']);
  const house = await houseOf(t, paths);
  const identity = { actor: 'operator:ann', role: 'viewer', sites: [] } as const;
  let answer = async () => ({
    result: usageOf({ services: [instanceOf('fleet/chrony'), instanceOf('evil/x')] }),
  });
  const asked: unknown[][] = [];
  const links = () => ({
    request: (async (...args: unknown[]) => {
      asked.push(args.slice(0, 3));
      return answer();
    }) as never,
  });
  const ask = async () => {
    const done = await perform(
      { ...house, links },
      { identity, remote: true },
      { operation: 'node metrics', input: { node: 'web1' } },
    );
    return done.kind === 'done' ? (done.result as { text: string }).text : '';
  };
  const all = await parse(await ask());
  t.deepEqual(asked, [[e.id, 'usage', {}]]);
  t.deepEqual([...new Set(all.map(({ labels }) => labels.service))], [undefined, 'chrony']);
  t.true(all.every(({ labels }) => labels.node === 'web1' && labels.site === 'default'));
  answer = async () => {
    throw refusal('LINK_OP_UNKNOWN', 'this image knows no operation usage', 'roll out a newer image first');
  };
  await t.throwsAsync(ask(), { code: 'LINK_OP_UNKNOWN' });
  t.is(find('node metrics').who.length, 3);
});
