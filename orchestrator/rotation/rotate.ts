/**
 * The four steps by which a new issuing CA replaces an old one: prepare, activate, taint, revoke. Each is one line of
 * the log that servers read within a second, and each is refused while somebody could not follow.
 */
import { refusal } from '../../base/error.ts';
import { named } from '../../base/named.ts';
import type { DataPaths } from '../../base/paths.ts';
import { type Generation, generationsOf, makeGeneration } from '../../keys/generations.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import { runningServers } from '../authorities/servers.ts';
import { type AuthorityState, authorityStates } from '../authorities/states.ts';
import type { By } from '../fleet/acting.ts';
import type { BanSet } from '../fleet/bans/set.ts';
import { append } from '../fleet/decisions/append.ts';
import { type AuthorityStep, sealAuthority } from '../fleet/decisions/entry.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { holdersOf } from './holders.ts';

export type RotateOptions = {
  fleet: Fleet;
  bans: Pick<DecisionKeeper, 'set' | 'keep'>;
  paths: DataPaths;
  by: By;
  reason: string;
  /** Nodes and operators that cannot follow are left behind. */
  force?: boolean;
};

export type Shown = { id: string; state: AuthorityState; notAfter: number };

/** All CAs of a name, oldest first. */
export async function showAuthorities(paths: DataPaths, set: BanSet, ca: AuthorityName) {
  const generations = await generationsOf(paths.keys, ca);
  const found = authorityStates(ca, generations, set.authoritySteps);
  const all: Shown[] = generations.map(({ id, certificate }) => ({
    id,
    state: found.states.get(id) ?? 'revoked',
    notAfter: certificate.validToDate.getTime(),
  }));
  return { ...found, generations, all };
}

/**
 * Makes the next CA, which everybody trusts from now on beside the others. One at a time: done twice, it has the effect
 * of once.
 */
export async function prepare(ca: AuthorityName, options: RotateOptions): Promise<Shown> {
  const { paths, bans } = options;
  const { set } = bans;
  const { all, generations } = await showAuthorities(paths, set, ca);
  if (generations.length === 0)
    throw refusal('KEYS_MISSING', `there is no ${ca} CA yet`, "run 'bootwave keys init'");
  const waiting = all.findLast(({ state }) => state === 'prepared');
  const made: Pick<Generation, 'id'> = waiting ?? (await makeGeneration(paths.keys, ca));
  const said = set.authoritySteps.some(({ step, authority }) => step === 'prepare' && authority === made.id);
  // A crash between the file and the line: the line is written now.
  if (!said) await take(ca, 'prepare', made.id, options);
  return one(await showAuthorities(paths, set, ca), made.id, ca);
}

/** Signs from now on. @throws BootwaveError `CA_STATE`, `CA_NOT_LOADED` */
export async function activate(
  ca: AuthorityName,
  word: string | undefined,
  options: RotateOptions,
): Promise<Shown> {
  const { fleet, by, paths, force } = options;
  const { set } = options.bans;
  const found = await showAuthorities(paths, set, ca);
  const next =
    word === undefined ? found.all.findLast(({ state }) => state === 'prepared') : one(found, word, ca);
  if (next === undefined)
    throw refusal('CA_STATE', `no ${ca} CA is prepared`, `bootwave keys ca prepare ${ca}`);
  if (next.state === 'active') return next;
  if (next.state !== 'prepared' && next.state !== 'old')
    throw refusal('CA_STATE', `the ${ca} CA ${next.id} is ${next.state}`, `bootwave keys ca prepare ${ca}`);
  const behind = (await runningServers(fleet.redis, by.at)).filter(({ loaded }) => !loaded.includes(next.id));
  if (behind.length > 0 && force !== true) {
    const names = named(behind.map(({ server }) => server));
    const what = `${behind.length} running servers have not loaded the ${ca} CA ${next.id}: ${names}`;
    throw refusal('CA_NOT_LOADED', what, 'wait some seconds; if they do not follow, their log says why');
  }
  await take(ca, 'activate', next.id, options);
  return { ...next, state: 'active' };
}

/** Every holder of one of its certificates renews at once, spread over two minutes. @throws BootwaveError `CA_STATE` */
export async function taint(ca: AuthorityName, word: string, options: RotateOptions): Promise<Shown> {
  const found = one(await showAuthorities(options.paths, options.bans.set, ca), word, ca);
  if (found.state === 'tainted') return found;
  if (found.state !== 'old') {
    const next = `bootwave keys ca prepare ${ca}, then bootwave keys ca activate ${ca}`;
    throw refusal(
      'CA_STATE',
      `the ${ca} CA ${found.id} is ${found.state}: only one that another follows can go`,
      next,
    );
  }
  await take(ca, 'taint', found.id, options);
  return { ...found, state: 'tainted' };
}

/** None of its certificates is valid any more, for good. @throws BootwaveError `CA_STATE`, `CA_HELD` */
export async function revoke(ca: AuthorityName, word: string, options: RotateOptions): Promise<Shown> {
  const { paths, force, by } = options;
  const { set } = options.bans;
  const all = await showAuthorities(paths, set, ca);
  const found = one(all, word, ca);
  if (found.state === 'revoked') return found;
  if (found.state === 'active')
    throw refusal(
      'CA_STATE',
      `the ${ca} CA ${found.id} signs now: without it nobody gets a certificate`,
      `bootwave keys ca prepare ${ca}`,
    );
  if (found.state === 'old' && force !== true)
    throw refusal(
      'CA_STATE',
      `the ${ca} CA ${found.id} is not tainted: nobody was asked to renew`,
      `bootwave keys ca taint ${ca} ${found.id}`,
    );
  const first = all.generations[0]?.id ?? '';
  const holders = await holdersOf({ ...options, now: by.at }, ca, found.id, first);
  if (holders.length > 0 && force !== true) {
    const what = `${holders.length} still hold a certificate of the ${ca} CA ${found.id}: ${named(holders)}`;
    const next =
      ca === 'operators'
        ? 'give each of them another: bootwave operator add NAME --role ROLE'
        : 'wait until they have renewed';
    throw refusal('CA_HELD', what, next);
  }
  await take(ca, 'revoke', found.id, options);
  return { ...found, state: 'revoked' };
}

async function take(
  ca: AuthorityName,
  step: AuthorityStep,
  authority: string,
  options: RotateOptions,
): Promise<void> {
  const { fleet, bans, by, reason } = options;
  const entry = sealAuthority({ kind: 'authority', ...by, reason, step, ca, authority });
  await append(fleet, entry, by, `${ca} CA ${authority}: ${step}: ${reason}`);
  await bans.keep(entry);
}

function one({ all }: { all: readonly Shown[] }, word: string, ca: AuthorityName): Shown {
  const fits = word === '' ? [] : all.filter(({ id }) => id.startsWith(word.toLowerCase()));
  const [found] = fits;
  if (found !== undefined && fits.length === 1) return found;
  const what = fits.length > 1 ? `'${word}' fits ${fits.length} ${ca} CAs` : `there is no ${ca} CA '${word}'`;
  throw refusal('CA_UNKNOWN', what, "'bootwave keys ca show' has all of them");
}
