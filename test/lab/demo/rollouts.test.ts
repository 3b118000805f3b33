import test from 'ava';
import { rolloutOf } from '../../../lab/demo/rollouts.ts';
import { servicesOf } from '../../../lab/demo/services.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';

test('what the demo rolls out, half an hour after its start, is a specification', (t) => {
  const checked = checkSpec(rolloutOf('1.1.0', 'n1'));
  t.true(checked.ok, JSON.stringify(checked));
});

test('the services that it rolls out are one, too', (t) => {
  const checked = checkSpec(servicesOf(['chrony:4.3', 'unbound:1.17'], 'n1', '5m'));
  t.true(checked.ok, JSON.stringify(checked));
});
