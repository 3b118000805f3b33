import type { Redis } from 'ioredis';
import { BootwaveError, refusal } from '../../base/error.ts';
import type { By } from './acting.ts';
import { AuditLog } from './audit/audit.ts';
import type { BanSet } from './bans/set.ts';
import { Decisions } from './decisions/decisions.ts';
import { DecisionLog } from './decisions/log.ts';
import { noKey, type Sealer } from './decisions/seal.ts';
import { hold, unhold } from './events/hold.ts';
import { approve, reject, retire } from './events/operate.ts';
import { pin, unpin } from './events/pin.ts';
import { type Expectation, spelled } from './expectation.ts';
import { ExpectationStore, type NewExpectation, nameTaken } from './expectations.ts';
import { FirmwareStore } from './firmware/store.ts';
import { Heard } from './heard.ts';
import { MachineStore } from './machines.ts';
import { checkName, unknownNode } from './names.ts';
import { type Outcome, refuse } from './outcome.ts';
import { ShownPcr7 } from './pcr7.ts';
import type { NodeRecord } from './record.ts';
import { SiteStore } from './sites.ts';
import { NodeStore } from './store.ts';
import { TpmClocks } from './tpm-clock.ts';

/** The fleet: its stores, and what people do with it. Command line, API and pages all act through this. */
export class Fleet {
  readonly redis: Redis;
  readonly nodes: NodeStore;
  readonly heard: Heard;
  readonly sites: SiteStore;
  readonly expectations: ExpectationStore;
  readonly machines: MachineStore;
  readonly audit: AuditLog;
  readonly pcr7: ShownPcr7;
  readonly firmware: FirmwareStore;
  readonly clocks: TpmClocks;
  readonly decisionLog: DecisionLog;
  readonly decisions: Decisions;

  /** @param sealer for what it adds to the log of decisions and other decisions */
  constructor(redis: Redis, sealer: Sealer = noKey) {
    this.redis = redis;
    this.decisions = new Decisions(redis, sealer);
    this.nodes = new NodeStore(redis, this.decisions);
    this.heard = new Heard(redis);
    this.sites = new SiteStore(redis, this.decisions);
    this.expectations = new ExpectationStore(redis, this.decisions);
    this.machines = new MachineStore(redis);
    this.audit = new AuditLog(redis);
    this.pcr7 = new ShownPcr7(redis);
    this.firmware = new FirmwareStore(redis, this.decisions);
    this.clocks = new TpmClocks(redis);
    this.decisionLog = new DecisionLog(redis, sealer);
  }

  /**
   * @param words the four words as the person saw them on the node's console
   * @throws BootwaveError `WORDS_DIFFER`, `NODE_NOT_PENDING`, `NODE_BANNED`, `NAME_TAKEN`, `NAME_INVALID`,
   * `NAME_AMBIGUOUS`, `NODE_UNKNOWN`
   */
  async approve(id: string, words: readonly string[], by: By, name?: string): Promise<NodeRecord> {
    return this.#act(id, by, 'approve', async (record) => {
      if (name !== undefined && name !== record.name) await this.#mustMeanOne(checkName(name), id);
      const ban = (await this.bans()).banOf({ id });
      return ban === null
        ? approve(record, { ...by, words, name })
        : refuse(
            'NODE_BANNED',
            `node ${record.name} is banned: ${ban.reason}`,
            `if that was wrong: bootwave ban lift ${ban.id} --reason WHY`,
          );
    });
  }

  /** @throws BootwaveError `NODE_NOT_PENDING`, `NODE_UNKNOWN` */
  async reject(id: string, reason: string, by: By): Promise<NodeRecord> {
    return this.#act(id, by, 'reject', (record) => reject(record, { ...by, reason }));
  }

  /** @throws BootwaveError `NODE_UNKNOWN` */
  async retire(id: string, reason: string, by: By): Promise<NodeRecord> {
    return this.#act(id, by, 'retire', (record) => retire(record, { ...by, reason }));
  }

  /** Rollouts leave it alone, those of today and later ones. @throws BootwaveError `NODE_NOT_MEMBER`, `NODE_HOLD_OVER`, `NODE_UNKNOWN` */
  async hold(id: string, reason: string, until: number | null, by: By): Promise<NodeRecord> {
    return this.#act(id, by, 'hold', (record) => hold(record, { ...by, reason, until }));
  }

  /** @throws BootwaveError `NODE_UNKNOWN` */
  async unhold(id: string, by: By): Promise<NodeRecord> {
    return this.#act(id, by, 'unhold', (record) => unhold(record, by));
  }

  /**
   * Only to this image from now on; whether nodes may run it at all is the caller's to know.
   * @throws BootwaveError `NODE_NOT_MEMBER`, `NODE_PIN_OVER`, `NODE_UNKNOWN`
   */
  async pin(id: string, image: string, reason: string, until: number | null, by: By): Promise<NodeRecord> {
    return this.#act(id, by, 'pin', (record) => pin(record, { ...by, image, reason, until }));
  }

  /** @throws BootwaveError `NODE_UNKNOWN` */
  async unpin(id: string, by: By): Promise<NodeRecord> {
    return this.#act(id, by, 'unpin', (record) => unpin(record, by));
  }

  /**
   * @throws BootwaveError `EXPECT_PENDING` when the machine is already waiting, and what `ExpectationStore.add` throws
   */
  async expect(wanted: NewExpectation, by: By): Promise<Expectation> {
    await this.sites.get(wanted.site);
    if (wanted.name !== undefined) await this.#mustMeanOne(checkName(wanted.name), null);
    const { mac, serial, ek } = spelled(wanted.criteria);
    const here = await Promise.all([
      ...[mac, serial].map((word) => (word === undefined ? [] : this.nodes.withHardware(word))),
      ek === undefined ? [] : this.nodes.getMany([`tpm-${ek}`]),
    ]);
    for (const known of here.flat()) {
      if (known.state === 'retired' || known.state === 'rejected') continue;
      throw new BootwaveError({
        code: 'EXPECT_KNOWN',
        what: `that machine is here already: node ${known.name} is ${known.state}`,
        unchanged: 'nothing was changed',
        ...(known.state === 'pending' ? { next: `approve it: bootwave node approve ${known.name}` } : {}),
      });
    }
    return this.expectations.add(wanted, by);
  }

  /** As this process knows them; one that keeps no log of decisions believes Redis. */
  async bans(): Promise<BanSet> {
    return (await this.decisions.bans()) ?? this.decisionLog.set();
  }

  /** A name, id or other text must not come to mean another node. @throws BootwaveError `NAME_AMBIGUOUS` */
  async #mustMeanOne(name: string, id: string | null): Promise<void> {
    const other = await this.nodes.readsLike(name, id);
    if (other === null) return;
    throw refusal(
      'NAME_AMBIGUOUS',
      `'${name}' reads like ${other.slice(0, 20)}, which is another machine`,
      'choose another name',
    );
  }

  async #act(
    id: string,
    by: By,
    action: string,
    decide: (record: NodeRecord) => Outcome | Promise<Outcome>,
  ): Promise<NodeRecord> {
    const done = await this.nodes.update(id, async (record) => {
      if (record === null) throw unknownNode(id);
      return { outcome: await decide(record) };
    });
    if (done.kind === 'changed') return done.record;
    if (done.kind === 'same') return done.record ?? Promise.reject(unknownNode(id));
    const error =
      done.kind === 'taken' ? nameTaken(done.field, done.owner) : refusal(done.code, done.what, done.next);
    // A refused attempt of a person belongs in the history: the person may not be allowed to try.
    await this.audit.append({
      ...by,
      node: id,
      action: 'refused',
      reason: `${action}: ${error.code}: ${error.what}`,
    });
    throw error;
  }
}
