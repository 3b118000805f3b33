import { z } from 'zod';
import { LOOKS } from '../../../protocol/agent/rescue.ts';
import { DISK_READS } from '../../../protocol/enrolment/disk-evidence.ts';
import type { Collected } from '../../recovery/evidence.ts';
import { nodeWord, nothing, reason, siteName, typed } from '../input.ts';
import { AT_SITES, atNodes, CORE, operation, READ } from '../operation.ts';
import type { Looked } from './access.ts';
import type { IncidentShown, IncidentView } from './acts.ts';
import type { Evidence, Taken } from './evidence.ts';

const node = z.strictObject({ node: nodeWord });
const word = node.extend({ reason });

export const list = operation({
  name: 'incident list',
  help: 'nodes that are being recovered or wait for a person; with --all also those whose incident has ended',
  who: READ,
  input: z.strictObject({ site: siteName.optional(), all: z.boolean().default(false) }),
  result: z.object({ incidents: typed<IncidentView[]>(), now: z.number() }),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'incident show',
  help: 'what was seen, what was tried, and what a person has to do',
  who: READ,
  nodes: ['node'],
  input: node,
  result: typed<IncidentShown>(),
  act: async () => (await import('./acts.ts')).show,
});

export const retry = operation({
  name: 'incident retry',
  help: 'have the automation go on with a node that waits for a person, with all its tries anew',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: word,
  result: typed<IncidentView>(),
  act: async () => (await import('./acts.ts')).retry,
});

export const end = operation({
  name: 'incident end',
  help: 'end an incident; not one of a node that is fenced and was not wiped',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: word,
  result: typed<IncidentView>(),
  act: async () => (await import('./acts.ts')).end,
});

export const rescue = operation({
  name: 'incident rescue',
  help: 'have a broken node run its agent and none of its services, until its incident ends or the automation goes on',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: word,
  result: typed<IncidentView>(),
  act: async () => (await import('./acts.ts')).rescue,
});

export const access = operation({
  name: 'incident access',
  help: 'look at a node in rescue, one thing of a list at a time; what it shows is recorded',
  who: CORE,
  nodes: ['node'],
  input: word.extend({
    /** Null: only opened. */
    look: z
      .enum([...LOOKS, 'hash'])
      .nullable()
      .default(null),
    /** Of `hash`: WWN, or serial number. */
    disk: z.string().min(1).max(128).optional(),
  }),
  result: typed<Looked>(),
  act: async () => (await import('./access.ts')).access,
});

export const leave = operation({
  name: 'incident leave',
  help: 'have nobody look at a node in rescue any more',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: node,
  result: z.object({ node: z.string(), changed: z.boolean() }),
  act: async () => (await import('./access.ts')).leave,
});

export const evidence = operation({
  name: 'incident evidence',
  help: 'what was seen, and what was collected of the last incident of a node, and whether it is whole',
  who: READ,
  nodes: ['node'],
  input: node,
  result: typed<Evidence>(),
  act: async () => (await import('./evidence.ts')).evidence,
});

export const take = operation({
  name: 'incident take',
  help: 'get what was collected of an incident, as a tar file',
  who: CORE,
  nodes: ['node'],
  input: node.extend({ file: z.string().max(256).optional() }),
  result: typed<Taken>(),
  act: async () => (await import('./evidence.ts')).take,
});

export const collect = operation({
  name: 'incident collect',
  help: 'keep what servers know of an incident, and all that its node shows if that is in rescue',
  who: CORE,
  nodes: ['node'],
  input: word.extend({
    /** Of which the node hashes every byte: WWN, or serial number. */
    disks: z.array(z.string().min(1).max(128)).max(16).default([]),
    /** What a fenced machine is to read of its disks before it wipes them. */
    beforeWipe: z.enum(DISK_READS).optional(),
  }),
  result: typed<Collected>(),
  act: async () => (await import('./evidence.ts')).collect,
});

export const signals = operation({
  name: 'incident signals',
  help: 'what makes an incident, by which road, and after how much of it',
  who: READ,
  input: nothing,
  result: typed<{ code: string; what: string; road: string; severity: string; after: string }[]>(),
  act: async () => (await import('./acts.ts')).signals,
});

export const recover = operation({
  name: 'node recover',
  help: 'have the automation repair a node that you find broken: restart, power cycle, network, at last a person',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: word,
  result: typed<IncidentView>(),
  act: async () => (await import('./acts.ts')).recover,
});
