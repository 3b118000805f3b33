/**
 * What can be done with a fleet, declared: one constant per use case says what it takes, who may, and how it is done.
 * Command line, API and pages send `{operation, input}`; `perform.ts` does the rest. A declaration loads nothing of what
 * it does: no Redis, no SSH, no release metadata (test/orchestrator/operations/declarations.test.ts).
 */
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { By } from '../fleet/acting.ts';
import type { Change } from '../fleet/commit.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Identity, Who } from '../operators/judge.ts';
import type { Signed } from '../operators/request.ts';
import type { Request } from '../operators/requests.ts';
import type { LinkPool } from '../transport/pool.ts';
import type { KeptWires } from '../up/wires.ts';

/** About this machine only: nothing of the fleet is changed. */
export const ANYONE: Who = 'anyone';
export const ADMIN: Who = [];
export const CORE: Who = ['core'];
/** Open to site admins, if everything it concerns is at their sites, as `site` says. */
export const AT_SITES: Who = ['core', 'site-admin'];
/** Open to owners of slices, if what it concerns is theirs, as `slice` says. */
export const OF_SLICES: Who = ['core', 'slice-owner'];
/** Everybody with a role but owners of slices, for all sites: a result that concerns several sites needs no further check. */
export const READ: Who = ['core', 'site-admin', 'viewer'];
/** The same, and owners of slices for what is theirs. */
export const READ_SLICES: Who = ['core', 'site-admin', 'slice-owner', 'viewer'];

/** What `site` may use: the nodes that the input names, and the records. */
export type About = { nodes: readonly NodeRecord[]; fleet: Fleet };

/** What an operation is performed on. */
export type House = {
  paths: DataPaths;
  /** Opened when first needed, if no server runs. */
  records(): Promise<{ fleet: Fleet; bans: DecisionKeeper }>;
  /** The interfaces that this process serves; undefined: it does not, or not yet. */
  wires(): KeptWires | undefined;
  /** Links to the nodes; undefined: this process has none, or not yet. */
  links(): Pick<LinkPool, 'request'> | undefined;
  /** A declaration by its name (catalogue.ts). */
  find(name: string): Operation;
  log: Logger;
  signal: AbortSignal;
  now(): number;
};

/** What an operation acts with and in whose name. */
export type Acting = {
  paths: DataPaths;
  fleet: Fleet;
  bans: DecisionKeeper;
  by: By;
  identity: Identity;
  log: Logger;
  signal: AbortSignal;
  wires: House['wires'];
  links: House['links'];
  find: House['find'];
  /** What a person may see while they wait; only at this machine. */
  tell(progress: unknown): void;
  /** Bytes between the caller and what the operation does, until it is done; undefined: this caller cannot. */
  carrying?: Carrying;
  /** If two people agreed: what they signed. */
  request?: Request;
  /**
   * What who asks has signed with the key of their certificate: this input of the operation. They are asked to, if they have not yet.
   * @throws BootwaveError `OPERATION_CERTIFICATE`
   */
  signature(input: Record<string, unknown>): Signed;
  /** The decision of a second person on a request that waits: asked for if the caller has not given it yet. */
  approval(id: string): Promise<{ request: Request; done: unknown }>;
};

export type Carrying = {
  /** Where the caller is, for people. */
  from: string;
  /** Tells the caller that it begins, once. */
  begin(opened: object): Duplex;
  /** Who asks may still ask. @throws BootwaveError `OPERATOR_*` */
  still(): Promise<void>;
};

/** Compared both ways, so that a declaration of one input is a declaration of some input. */
export type Act<I, R> = { act(input: I, context: Acting): Promise<R> }['act'];

/** Runs before a second person is asked. */
export type Prepared<I, R> =
  /**
   * Ask for this, with every name replaced by what it means now. `what` is signed with it when an id alone tells the
   * signer nothing; `shown` goes back to the caller.
   */
  | { input: I; what?: string; shown?: object }
  /** Nobody needs to be asked. */
  | { result: R };

export type Operation<I = unknown, R = unknown> = {
  /** As the command line has it: `node approve`. Never renamed: audit and requests name it. */
  name: string;
  /** One sentence for help, without a capital and a full stop. */
  help: string;
  who: Who;
  /** Fields of the input that name nodes: resolved once, and replaced by ids before anything is judged. */
  nodes?: readonly string[];
  /** The sites that it concerns; absent: a site admin with the right may use it everywhere. */
  site?(input: I, about: About): readonly string[] | Promise<readonly string[]>;
  /** The slices that it concerns; absent: an owner with the right may use it, and its result is about their own. */
  slice?(input: NoInfer<I>, about: About): readonly string[];
  /**
   * Whether it may be done under break-glass. Nothing that it does may outlast that: no operation on keys, operators or the
   * audit is in it.
   */
  breakGlass?: boolean;
  /** Whether a second person of the core team has to agree. */
  fourEyes?: boolean | { when(input: NoInfer<I>): boolean }['when'];
  prepare?(): Promise<{ prepare(input: I, context: Acting): Promise<Prepared<I, R>> }['prepare']>;
  /** What is written in the commit that records the second person's approval, or not at all. */
  effect?(): Promise<(request: Request, by: By, context: Acting) => Pick<Change, 'ops' | 'audit'>>;
  /** How often in an hour somebody may do it who may only do it to what is theirs: what it decides stays written for ever. */
  perHour?: number;
  /**
   * Performed by the calling process and on its files, so that it works without a server. `files`: it needs no records;
   * `records`: it opens them, and starts the embedded Redis if none runs.
   */
  offline?: 'files' | 'records';
  /** It names files of the server's machine, or occupies its process: never over the network. */
  hostOnly?: boolean | { when(input: NoInfer<I>): boolean }['when'];
  input: z.ZodType<I>;
  result: z.ZodType<R>;
  act(): Promise<Act<I, R>>;
};

export const operation = <I, R>(declared: Operation<I, R>): Operation<I, R> => declared;

/** A flag of a declaration, for this input. */
export function holds<I>(flag: undefined | boolean | ((input: I) => boolean), input: I): boolean {
  return typeof flag === 'function' ? flag(input) : flag === true;
}

/** Sites of the nodes that the input names. */
export const atNodes = (_: unknown, { nodes }: About): string[] => nodes.map(({ site }) => site);
