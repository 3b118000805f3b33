/** What was tried to hide all of a kind behind one record that cannot be read. */
import test from 'ava';
import { CONFIG_KEYS, listConfigs, publishConfig } from '../../../orchestrator/config/store.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { Requests } from '../../../orchestrator/operators/requests.ts';
import { enrolment, fleetFor, macOf } from '../../orchestrator/fleet/support.ts';

const ODD = ['{"a":', '{}', '[]', 'null', '7'];

for (const odd of ODD) {
  test(`'${odd}' in place of a machine that was seen, an expectation, a configuration, a request, a model's firmware hides none of the others`, async (t) => {
    const { fleet, redis, directory, by } = await fleetFor(t);
    await directory.enrol(enrolment(1));
    await directory.sawBoot({ mac: macOf(7), step: 'dhcp-offered', at: 1 } as never);
    const seen = (await fleet.machines.all()).size;
    await redis.hset(KEYS.machine, '52:54:00:00:00:99', odd);
    t.is((await fleet.machines.all()).size, seen);
    t.is(await fleet.machines.get('52:54:00:00:00:99'), null);

    await fleet.expect({ site: 'default', criteria: { serial: 'SN99' }, expiresAt: null }, by());
    const [known] = await fleet.expectations.list();
    await redis.sadd(KEYS.expectations, 'odd');
    await redis.hset(KEYS.expectation('odd'), 'body', odd, 'state', 'open', 'epoch', '1');
    t.deepEqual(await fleet.expectations.list(), [known!]);

    await publishConfig(redis, '{"sysctls":{"vm.swappiness":10}}', '1.0', by());
    await redis.sadd(CONFIG_KEYS.all, '2.0');
    await redis.hset(CONFIG_KEYS.config('2.0'), 'body', odd);
    t.deepEqual(
      (await listConfigs(redis)).map(({ version }) => version),
      ['1.0'],
    );

    await redis.sadd(KEYS.requests, 'odd');
    await redis.hset(KEYS.request('odd'), 'body', odd);
    const nobody = { cas: [], trusted: [], register: [], denied: new Set<string>() };
    t.deepEqual(await new Requests(redis, nobody).list(1), []);

    await redis.sadd(KEYS.firmwares, 'odd');
    await redis.hset(KEYS.firmware('odd'), 'body', odd);
    t.deepEqual(await fleet.firmware.list(), []);
    await t.throwsAsync(
      fleet.firmware.get('odd'),
      { code: 'FIRMWARE_UNREADABLE' },
      'and nothing is learned over it',
    );

    await redis.hset(KEYS.site('default'), 'body', odd);
    await t.throwsAsync(fleet.sites.get('default'), { code: 'SITE_UNREADABLE' }, 'never: no rules at all');
  });
}
