/** The issuing CAs that one running server has in memory, kept equal to the log while it runs. */
import { X509Certificate } from 'node:crypto';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { NodesTrust, TrustedAuthority, Worth } from '../../bootserver/enroll/trust.ts';
import type { Authority } from '../../keys/authority.ts';
import { generationsOf, openGeneration } from '../../keys/generations.ts';
import { AUTHORITIES, type AuthorityName } from '../../keys/layout.ts';
import type { BanSet } from '../fleet/bans/set.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import { activeOf } from './on-disk.ts';
import { type AuthorityState, authorityStates } from './states.ts';

type Loaded = { signs: Authority; all: readonly (TrustedAuthority & { state: AuthorityState })[] };

/** Milliseconds between two tries at what could not be loaded. */
const AGAIN = 1000;

export class LoadedAuthorities {
  readonly #keys: string;
  readonly #set: BanSet;
  readonly #log: Logger;
  readonly #listeners: (() => void | Promise<void>)[] = [];
  #loaded!: Record<AuthorityName, Loaded>;
  /** One load after the other. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(keys: string, set: BanSet, log: Logger) {
    this.#keys = keys;
    this.#set = set;
    this.#log = log;
  }

  /**
   * Follows `bans` from here on, until the signal fires.
   * @throws BootwaveError `KEYS_MISSING`, `KEYS_MISMATCH`, `CA_NONE`
   */
  static async open(
    keys: string,
    bans: DecisionKeeper,
    log: Logger,
    signal: AbortSignal,
  ): Promise<LoadedAuthorities> {
    const authorities = new LoadedAuthorities(keys, bans.set, log);
    await authorities.#load();
    bans.onEntry((entries) => {
      if (entries.some(({ kind }) => kind === 'authority')) authorities.#turn = authorities.#follow(signal);
    });
    return authorities;
  }

  get nodes(): NodesTrust {
    return { issuing: () => this.#loaded.nodes.signs, all: () => this.#loaded.nodes.all };
  }

  signing(ca: AuthorityName): Authority {
    return this.#loaded[ca].signs;
  }

  /** Ids of all that this server knows and has not seen revoked: what it would take, or sign with, at once. */
  get ids(): string[] {
    return AUTHORITIES.flatMap((ca) => this.#loaded[ca].all)
      .filter(({ state }) => state !== 'revoked')
      .map(({ id }) => id);
  }

  /** After each change; the next one waits for what it returns. */
  onChange(listener: () => void | Promise<void>): void {
    this.#listeners.push(listener);
  }

  /** Until it is loaded: a key file may come a moment after the step that names it. */
  async #follow(signal: AbortSignal): Promise<void> {
    await this.#turn;
    for (let failed = false; !signal.aborted; failed = true) {
      try {
        await this.#load();
        for (const listener of this.#listeners) await listener();
        this.#log.info({ authorities: this.ids.join(' ') }, 'the CAs of the fleet changed');
        return;
      } catch (error) {
        if (!failed)
          this.#log.error({ reason: messageOf(error) }, 'a CA cannot be loaded; it is tried again');
        await new Promise((resolve) => setTimeout(resolve, AGAIN).unref());
      }
    }
  }

  async #load(): Promise<void> {
    const found = await Promise.all(AUTHORITIES.map(async (ca) => [ca, await this.#read(ca)] as const));
    this.#loaded = Object.fromEntries(found) as Record<AuthorityName, Loaded>;
  }

  async #read(ca: AuthorityName): Promise<Loaded> {
    const generations = await generationsOf(this.#keys, ca);
    const found = authorityStates(ca, generations, this.#set.authoritySteps);
    if (found.missing.length > 0)
      this.#log.error(
        { ca, missing: found.missing.join(' ') },
        'files of a CA are missing, as after an old backup',
      );
    const signs = await openGeneration(activeOf(ca, { ...found, generations }));
    const all = generations.map(({ id, pem }) => {
      const state = found.states.get(id) ?? 'revoked';
      return { id, pem, certificate: new X509Certificate(pem), state, worth: worthOf(state) };
    });
    return { signs, all };
  }
}

function worthOf(state: AuthorityState): Worth {
  return state === 'tainted' || state === 'revoked' ? state : 'good';
}
