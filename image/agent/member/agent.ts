import { randomBytes, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type * as z from 'zod/mini';
import { defined } from '../../../base/defined.ts';
import { BootwaveError, codeOf, messageOf, whatOf } from '../../../base/error.ts';
import { CLOCK_OFF } from '../../../protocol/agent/machine.ts';
import type { WipeResults } from '../../../protocol/agent/wipe.ts';
import type { DiskRead } from '../../../protocol/enrolment/disk-evidence.ts';
import { type Heartbeat, heartbeatReply } from '../../../protocol/enrolment/heartbeat.ts';
import { NODE_URI, PATHS } from '../../../protocol/enrolment/messages.ts';
import type { Order } from '../../../protocol/order.ts';
import type { OrderEnvelope } from '../../../protocol/order-envelope.ts';
import { BootServer, ServerRefused } from './boot-server.ts';
import {
  type Activity,
  type Command,
  type Decision,
  type Event,
  type Failure,
  INITIAL,
  type State,
  type View,
} from './core/state.ts';
import { step } from './core/step.ts';
import { NodeEnrolment, type NodeFacts } from './enrolment.ts';
import type { AskHelper } from './helper-client.ts';
import { askTime } from './server-time.ts';

/** The agent's hands: everything that it touches outside itself. */
export type Edges = {
  rootPem: string;
  askHelper: AskHelper;
  /** Everything that the enrolment reports about this machine. */
  facts(): Promise<NodeFacts>;
  /** Wipes what the order in force names. */
  wipe(): Promise<WipeResults['disk-wipe']>;
  /** Reads the disks that it names. @returns JSON (protocol/enrolment/disk-evidence.ts) */
  showDisks(read: DiskRead): Promise<string>;
  discover(thorough: boolean): Promise<readonly string[]>;
  /** @param asked what this boot server asks beside */
  heartbeat(asked: Asked): Promise<Heartbeat>;
  /** The boot server at `url` accepted a heartbeat, and said this (`heartbeatReply`). */
  heard?(said: Pick<z.output<typeof heartbeatReply>, 'images' | 'secrets'>, url: string): Promise<void>;
  /** The machine has its certificate; `id` is its record's. */
  approved?(id: string): Promise<void>;
  /** The fleet refuses what this boot has started: the running image must not be used here. */
  barred?(reason: string): void;
  show(view: View): void;
  /** Milliseconds since the epoch. */
  now(): number;
  random(): number;
  signal: AbortSignal;
  /** Called after each event, for the watchdog. */
  lived?(): void;
  /** Waiting, for tests that have no time. */
  sleep?(milliseconds: number, signal: AbortSignal): Promise<void>;
};

/** How the hardware is, and of that what disks foretell of themselves. */
type Asked = { hardware: boolean; smart: boolean };
const NOTHING: Asked = { hardware: false, smart: false };

/** Milliseconds until another try to start sshd after one that failed. */
const SSH_AGAIN = 30_000;

/** Connections to one boot server: anonymous, and as the approved node. */
type Connection = { url: string; plain: BootServer; mutual: BootServer | null };

/** Runs the pure core: performs the one activity that it names, and passes the result back as an event. */
export class Agent {
  readonly #edges: Edges;
  #state: State = INITIAL;
  /** What the boot server at `url` asks beside. */
  #asks: Asked & { url: string } = { ...NOTHING, url: '' };
  #enrolment: NodeEnrolment | null = null;
  #server: Connection | null = null;
  /** What this boot has wiped, by what the order that it obeyed says of that. */
  #wipe: { wanted: string; report: string } | null = null;

  constructor(edges: Edges) {
    this.#edges = edges;
  }

  /** Ends only when `signal` is aborted. */
  async run(): Promise<void> {
    const { signal } = this.#edges;
    let event: Event = { type: 'started' };
    while (!signal.aborted) {
      const moment = { now: this.#edges.now(), random: this.#edges.random() };
      const [state, commands] = step(this.#state, event, moment);
      this.#state = state;
      this.#edges.lived?.();
      for (const command of commands) this.#announce(command);
      event = await this.#perform(state.activity);
    }
    this.#forget();
  }

  /** The boot server to which this machine is connected as a member; null: to none now. */
  get server(): BootServer | null {
    return this.#server?.mutual ?? null;
  }

  #announce(command: Command): void {
    if (command.type === 'show') this.#edges.show(command.view);
    // sshd is wanted but not required: the agent is what makes the machine a member.
    if (command.type === 'install-host-key') void this.#startSsh();
  }

  /**
   * Repeated until it succeeds: nobody asks for it a second time, and without sshd no orchestrator reaches this
   * machine.
   */
  async #startSsh(): Promise<void> {
    const { askHelper, signal } = this.#edges;
    while (!signal.aborted) {
      try {
        const { started } = await askHelper({ operation: 'install-host-key' });
        if (started) return;
      } catch (error) {
        console.error(`bootwave-agent: sshd was not started: ${messageOf(error)}`);
      }
      await (this.#edges.sleep ?? pause)(SSH_AGAIN, signal);
    }
  }

  async #perform(activity: Activity): Promise<Event> {
    try {
      return await this.#attempt(activity);
    } catch (error) {
      return { type: 'failed', failure: failureOf(error) };
    }
  }

  async #attempt(activity: Activity): Promise<Event> {
    const edges = this.#edges;
    switch (activity.type) {
      case 'identify': {
        const facts = await edges.facts();
        this.#enrolment = new NodeEnrolment(facts, edges.rootPem, edges.askHelper);
        return { type: 'identified', setupMode: facts.identity.secureBoot === 'setup' };
      }
      case 'enrol-secure-boot':
        await edges.askHelper({ operation: 'enrol-secure-boot' });
        return { type: 'restarting' };
      case 'search':
        return { type: 'found', urls: await edges.discover(activity.thorough) };
      case 'enrol': {
        await this.#setClock(activity.url);
        const decision = await this.#keys().enrol(this.#at(activity.url).plain);
        this.#dropMutual();
        return this.#decided(decision);
      }
      case 'poll':
        return this.#decided(await this.#keys().poll(this.#at(activity.url).plain));
      case 'heartbeat': {
        const { url, ...asks } = this.#asks;
        const said = await this.#mutual(activity.url).post(
          PATHS.heartbeat,
          await edges.heartbeat(url === activity.url ? asks : NOTHING),
          heartbeatReply,
        );
        const { interval, images, secrets, renew, attest } = said;
        const hardware = said.hardware === true;
        this.#asks = { url: activity.url, hardware, smart: hardware && said.smart === true };
        await edges.heard?.(defined({ images, secrets }), activity.url);
        return { type: 'heard', interval, renew, attest: attest ?? null };
      }
      case 'attest':
        await this.#keys().attest(this.#mutual(activity.url));
        return { type: 'attested' };
      case 'wipe': {
        const report = await this.#wiped(activity.order, this.#at(activity.url).plain);
        await this.#keys().wiped(this.#at(activity.url).plain, report);
        return { type: 'wiped' };
      }
      case 'restart':
        await edges.askHelper({ operation: 'restart' });
        return { type: 'restarting' };
      case 'wait':
        await (edges.sleep ?? pause)(activity.milliseconds, edges.signal);
        return { type: 'waited' };
    }
  }

  /** Root judges the order, and wipes what it names. */
  async #wiped(order: unknown, server: BootServer): Promise<string> {
    const { askHelper, wipe, showDisks, lived } = this.#edges;
    await askHelper({ operation: 'take-order', envelope: order });
    const wanted = wipeIn(order);
    // A boot server that has forgotten the session asks for the same again; after some hours by an order of a higher epoch.
    if (this.#wipe?.wanted === wanted) return this.#wipe.report;
    // Where it is overwritten whole, a large disk takes hours.
    const alive = setInterval(() => lived?.(), 60_000);
    try {
      await this.#keys()
        .showDisks(server, showDisks)
        // A boot server from before this has no such page; and nothing of it keeps the wipe from going on.
        .catch((error: unknown) =>
          console.error(`bootwave-agent: nothing of the disks was shown: ${messageOf(error)}`),
        );
      const { report, open } = await wipe();
      this.#wipe = open ? null : { wanted, report };
      return report;
    } finally {
      clearInterval(alive);
    }
  }

  /**
   * Before certificates are judged by their dates. Nobody waits for it to succeed: a right clock does not need it, and a wrong
   * one shows in what fails next.
   */
  async #setClock(url: string): Promise<void> {
    const { askHelper, now } = this.#edges;
    try {
      // Root starts a process for each request: it is asked only when the clock seems to be wrong.
      const off = now() - (await askTime(url, randomBytes(32).toString('hex'))).time;
      if (Math.abs(off) < CLOCK_OFF) return;
      const { nonce } = await askHelper({ operation: 'clock-nonce' });
      const reply = await askTime(url, nonce);
      const { set } = await askHelper({ operation: 'set-clock', reply });
      if (set) console.error(`bootwave-agent: the clock was ${Math.round(off / 1000)} s off and was set`);
    } catch (error) {
      console.error(`bootwave-agent: the clock was not compared: ${messageOf(error)}`);
    }
  }

  async #decided(decision: Decision): Promise<Event> {
    if (decision.state === 'approved') {
      const { subjectAltName } = new X509Certificate(this.#keys().credentials?.chain ?? '');
      await this.#edges.approved?.(subjectAltName?.replace(`URI:${NODE_URI}`, '') ?? '');
    }
    if (decision.state === 'rejected' && decision.restart) this.#edges.barred?.(decision.reason);
    return { type: 'decided', decision };
  }

  #keys(): NodeEnrolment {
    if (this.#enrolment === null)
      throw new BootwaveError({ code: 'AGENT_FAULT', what: 'no keys were made yet' });
    return this.#enrolment;
  }

  #at(url: string): Connection {
    if (this.#server?.url !== url) {
      this.#forget();
      this.#server = { url, plain: new BootServer(url, this.#edges.rootPem), mutual: null };
    }
    return this.#server;
  }

  #mutual(url: string): BootServer {
    const server = this.#at(url);
    server.mutual ??= new BootServer(url, this.#edges.rootPem, this.#keys().credentials);
    return server.mutual;
  }

  /** A new certificate needs new connections. */
  #dropMutual(): void {
    this.#server?.mutual?.close();
    if (this.#server !== null) this.#server.mutual = null;
  }

  #forget(): void {
    this.#dropMutual();
    this.#server?.plain.close();
    this.#server = null;
  }
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {});
}

const REMOTE = new Set(['SERVER_UNREACHABLE', 'SERVER_NOT_TRUSTED', 'SERVER_ANSWER']);

function failureOf(error: unknown): Failure {
  const code = codeOf(error, 'AGENT_FAULT');
  const what = whatOf(error);
  if (error instanceof ServerRefused) return { kind: 'refused', code, what };
  return { kind: REMOTE.has(code) ? 'unreachable' : 'local', code, what };
}

/** Of an order that root has taken. */
function wipeIn(order: unknown): string {
  const { payload } = order as OrderEnvelope;
  return JSON.stringify((JSON.parse(Buffer.from(payload, 'base64').toString('utf8')) as Order).incident);
}
