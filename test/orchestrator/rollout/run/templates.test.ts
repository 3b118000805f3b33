import test from 'ava';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import {
  listTemplates,
  readTemplate,
  removeTemplate,
  setTemplate,
} from '../../../../orchestrator/rollout/run/templates.ts';
import { fleetFor } from '../../fleet/support.ts';

const by = { actor: 'operator:ann', at: 7 };

test('set, replaced, removed and set again, each with who and when', async (t) => {
  const { fleet } = await fleetFor(t);
  await t.throwsAsync(readTemplate(fleet, 'weekly'), { code: 'TEMPLATE_UNKNOWN' });
  await t.throwsAsync(removeTemplate(fleet, 'weekly', by), { code: 'TEMPLATE_UNKNOWN' });
  await setTemplate(fleet, 'weekly', 'a', by);
  t.like(await readTemplate(fleet, 'weekly'), { text: 'a', by: 'operator:ann', at: 7 });
  await setTemplate(fleet, 'weekly', 'a', { actor: 'operator:bob', at: 8 });
  t.like(await readTemplate(fleet, 'weekly'), { by: 'operator:ann', at: 7 }, 'nothing has changed');
  await setTemplate(fleet, 'weekly', 'b', { actor: 'operator:bob', at: 9 });
  await setTemplate(fleet, 'canary', 'c', by);
  t.deepEqual(
    (await listTemplates(fleet)).map(({ name, text }) => `${name} ${text}`),
    ['canary c', 'weekly b'],
  );
  await removeTemplate(fleet, 'weekly', by);
  await t.throwsAsync(readTemplate(fleet, 'weekly'), { code: 'TEMPLATE_UNKNOWN' });
  t.is((await setTemplate(fleet, 'weekly', 'd', by)).text, 'd');
  const told = (await fleet.audit.read()).map(({ action, actor, reason }) => `${actor} ${action}: ${reason}`);
  t.deepEqual(
    told.filter((line) => line.includes('weekly')),
    [
      'operator:ann template-set: template weekly set',
      'operator:bob template-set: template weekly set',
      'operator:ann template-remove: template weekly removed',
      'operator:ann template-set: template weekly set',
    ],
  );
});

test('a name is a name; two at the same moment are one after the other; what cannot be read hides no others', async (t) => {
  const { fleet, redis } = await fleetFor(t);
  for (const name of ['', 'Weekly', 'a b', '../x', 'x'.repeat(64)])
    await t.throwsAsync(setTemplate(fleet, name, 'a', by), { code: 'NAME_INVALID' }, name);
  await Promise.all(['a', 'b', 'c'].map((text) => setTemplate(fleet, 'weekly', text, by)));
  t.is((await readTemplate(fleet, 'weekly')).epoch, 3);
  await setTemplate(fleet, 'odd', 'a', by);
  await redis.hset(KEYS.template('odd'), 'body', '{"name":"odd"}');
  await t.throwsAsync(readTemplate(fleet, 'odd'), { code: 'TEMPLATE_UNREADABLE' });
  t.deepEqual(
    (await listTemplates(fleet)).map(({ name }) => name),
    ['weekly'],
  );
});
