/** When the agent asks for secrets, and when it lets a server alone. */
import test from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { NodeSecrets } from '../../../../../image/agent/member/services/node-secrets.ts';
import type { InstanceView } from '../../../../../protocol/agent/services.ts';
import { PATHS } from '../../../../../protocol/enrolment/messages.ts';

const QUESTION = [PATHS.secretsNonce, 'secrets-ask', PATHS.secrets];
const ordered = ['fleet/a', 'fleet/b'].map((name) => ({
  ...{ name, version: '1', sha256: 'a'.repeat(64), size: 1 },
}));

/** Two services that run with secrets of change 1; the server refuses those that are named in `refused`. */
function setUp() {
  const numbers = new Map([
    ['fleet/a', 1],
    ['fleet/b', 1],
  ]);
  const held = new Map<string, number | null>(numbers);
  const state = { now: 0, refused: ['fleet/a'], isThere: true };
  const said: string[] = [];
  let asking = '';
  const secrets = new NodeSecrets({
    ask: (async ({ operation, name }: { operation: string; name: string }) => {
      said.push(operation);
      if (operation === 'secrets-take') held.set(name, numbers.get(name)!);
      return {};
    }) as never,
    server: () =>
      state.isThere
        ? ({
            async post(path: string, body: { service?: { name: string } }) {
              said.push(path);
              if (path === PATHS.secretsNonce) {
                asking = body.service!.name;
                return { nonce: 'n', number: numbers.get(asking) };
              }
              if (state.refused.includes(asking))
                throw new BootwaveError({ code: 'SECRETS_UNSET', what: 'it is not set' });
              return {};
            },
          } as never)
        : null,
    signal: new AbortController().signal,
    clock: () => state.now,
  });
  /** @returns what was done */
  const bring = async (after = 0): Promise<string[]> => {
    state.now += after;
    said.length = 0;
    const views = [...held].map(([name, number]) => ({ name, state: 'running', secrets: { number } }));
    await secrets.bring(views as InstanceView[], ordered);
    return [...said];
  };
  return { secrets, numbers, held, state, bring };
}

test('what runs and is refused a change asks for it seldom, and others not at all', async (t) => {
  const { secrets, numbers, bring } = setUp();
  numbers.set('fleet/a', 2);
  secrets.heard(2);
  t.deepEqual(await bring(), [...QUESTION, PATHS.secretsNonce], 'the other one has what there is');
  t.is(secrets.errorOf('fleet/a'), 'it is not set [SECRETS_UNSET]');
  t.deepEqual(await bring(14_999), []);
  t.deepEqual(await bring(15_001), QUESTION);
  t.deepEqual(await bring(29_999), [], 'it waits longer each time');
  for (let i = 0; i < 10; i += 1) await bring(900_000);
  t.deepEqual(await bring(449_999), []);
  t.deepEqual(await bring(450_001), QUESTION, 'and 15 minutes at the most');
});

test('another change is asked for at once; the change of another service costs no quote', async (t) => {
  const { secrets, numbers, held, state, bring } = setUp();
  numbers.set('fleet/a', 2);
  secrets.heard(2);
  await bring();
  numbers.set('fleet/b', 3);
  secrets.heard(3);
  t.deepEqual(await bring(), [PATHS.secretsNonce, ...QUESTION, 'secrets-take']);
  t.deepEqual(await bring(), []);
  state.refused = [];
  numbers.set('fleet/a', 4);
  secrets.heard(4);
  t.deepEqual(await bring(), [...QUESTION, 'secrets-take', PATHS.secretsNonce]);
  t.deepEqual([...held.values()], [4, 3]);
  t.deepEqual(await bring(900_000), []);
});

test('who has none yet asks whenever it may, and a server that is away counts as no refusal', async (t) => {
  const { secrets, numbers, held, state, bring } = setUp();
  held.delete('fleet/b');
  const lacking = () => {
    held.set('fleet/a', null);
    return bring();
  };
  for (let i = 0; i < 3; i += 1) t.deepEqual(await lacking(), QUESTION);
  t.regex(secrets.errorOf('fleet/a')!, /SECRETS_UNSET/);
  state.refused = [];
  t.deepEqual(await lacking(), [...QUESTION, 'secrets-take']);
  t.is(secrets.errorOf('fleet/a'), null);
  numbers.set('fleet/a', 2);
  secrets.heard(2);
  state.isThere = false;
  await bring();
  t.regex(secrets.errorOf('fleet/a')!, /SERVER_UNREACHABLE/);
  state.isThere = true;
  t.deepEqual(await bring(), [...QUESTION, 'secrets-take']);
});
