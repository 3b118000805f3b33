import { createPublicKey } from 'node:crypto';
import test from 'ava';
import { signingKey } from '../../../keys/release/key.ts';
import type { ReleaseRole } from '../../../keys/release/roles.ts';
import { delegations, keyOf, reader, repository, signed } from './repository.ts';

const IDS = ['a'.repeat(64), 'b'.repeat(64)];

/** A root whose threshold for one role is two, reached by one key under two names. */
function doubled(role: ReleaseRole, write: (key: ReturnType<typeof keyOf>) => object) {
  const { secret } = keyOf(role);
  const key = signingKey(secret);
  const made = repository({ targets: { targets: ['a'] } });
  const root = JSON.parse(made.root.toString()).signed;
  root.keys[IDS[0]!] = key.public.toJSON();
  root.keys[IDS[1]!] = { ...key.public.toJSON(), ...write(key) };
  delete root.keys[key.public.keyID];
  root.roles[role] = { keyids: IDS, threshold: 2 };
  const again = (name: string) => {
    const body = JSON.parse(made.files.get(name)!.toString()).signed;
    made.files.set(name, signed(body, [key, key], IDS));
  };
  if (role === 'timestamp') again('timestamp.json');
  else if (role !== 'root') again(`1.${role}.json`);
  return { ...made, root: role === 'root' ? signed(root, [key, key], IDS) : signed(root, [keyOf('root')]) };
}

test('one key under two names counts once, however it is written, for whatever role', async (t) => {
  const pem = (key: ReturnType<typeof keyOf>) => ({
    keyval: { public: pemOf(key) },
  });
  const upper = (key: ReturnType<typeof keyOf>) => ({
    keyval: { public: key.public.keyVal.public!.toUpperCase() },
  });
  for (const role of ['root', 'targets', 'snapshot', 'timestamp'] as const)
    for (const write of [() => ({}), upper, pem])
      await t.throwsAsync(reader(doubled(role, write)).read(), { code: 'RELEASE_METADATA_MALFORMED' }, role);
});

test('the same in what a role delegates', async (t) => {
  const key = keyOf('team');
  const inner = delegations([{ name: 'team', threshold: 2 }]);
  const twice = {
    ...inner,
    keys: Object.fromEntries(IDS.map((id) => [id, key.public.toJSON()])),
    roles: [{ ...(inner.roles as object[])[0], keyids: IDS }],
  };
  const made = repository({ targets: { change: { delegations: twice } }, team: { targets: ['a'] } });
  const body = JSON.parse(made.files.get('1.team.json')!.toString()).signed;
  made.files.set('1.team.json', signed(body, [key, key], IDS));
  await t.throwsAsync(reader(made).find('a'), { code: 'RELEASE_METADATA_MALFORMED' });
});

test('a version is a whole number from 1 on that no other is equal to, in every file and wherever one names another', async (t) => {
  const wrong = [-1, 0, 2 ** 53, '1', null];
  for (const version of wrong) {
    const named = { version, length: 100 };
    const cases = [
      repository({ targets: {} }, { root: { version } }),
      repository({ targets: {} }, { timestamp: { version } }),
      repository({ targets: {} }, { snapshot: { version } }),
      repository({ targets: { change: { version } } }),
      repository({ targets: {} }, { timestamp: { meta: { 'snapshot.json': named } } }),
      repository({ targets: {} }, { snapshot: { meta: { 'targets.json': named } } }),
      repository(
        { targets: {} },
        { snapshot: { meta: { 'targets.json': { version: 1 }, 'x.json': named } } },
      ),
    ];
    for (const [i, made] of cases.entries())
      await t.throwsAsync(
        reader(made).read(),
        { code: 'RELEASE_METADATA_MALFORMED' },
        `${JSON.stringify(version)} in case ${i}`,
      );
  }
  await t.notThrowsAsync(reader(repository({ targets: {} })).read());
});

function pemOf({ secret }: ReturnType<typeof keyOf>): string {
  return createPublicKey(secret).export({ type: 'spki', format: 'pem' }).toString();
}
