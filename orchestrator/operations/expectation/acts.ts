import { defined } from '../../../base/defined.ts';
import { refusal } from '../../../base/error.ts';
import type { Criteria, Expectation } from '../../fleet/expectation.ts';
import type { Acting } from '../operation.ts';

type Expected = {
  site: string;
  name?: string | undefined;
  mac?: string | undefined;
  serial?: string | undefined;
  ek?: string | undefined;
  token?: string | undefined;
  lasts?: number | undefined;
};

/** @throws BootwaveError `EXPECT_INVALID` and what `Fleet.expect` throws */
export async function expect({ site, name, lasts, ...shown }: Expected, { fleet, by }: Acting) {
  const { mac, serial, ek, token } = shown;
  const criteria: Criteria = defined({ mac: mac?.toLowerCase().replaceAll('-', ':'), serial, ek, token });
  if (Object.keys(criteria).length === 0)
    throw refusal(
      'EXPECT_INVALID',
      'no fact names the expected machine',
      'give --mac, --serial, --ek or --token',
    );
  const { policy } = await fleet.sites.get(site);
  const expiresAt = lasts === undefined ? null : by.at + lasts;
  const expectation = await fleet.expect({ site, name, criteria, expiresAt }, by);
  return { expectation: hidden(expectation), answered: policy.acceptUnknown || mac !== undefined };
}

export async function list(_: object, { fleet }: Acting): Promise<Expectation[]> {
  return (await fleet.expectations.list()).map(hidden);
}

export async function withdraw({ id }: { id: string }, { fleet, by }: Acting): Promise<Expectation> {
  return hidden(await fleet.expectations.withdraw(id, by));
}

/** A token's digest is of no use to anybody who reads the output. */
function hidden(expectation: Expectation): Expectation {
  const { token, ...criteria } = expectation.criteria;
  return { ...expectation, criteria: token === undefined ? criteria : { ...criteria, token: '(kept out)' } };
}
