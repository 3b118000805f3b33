import { z } from 'zod';
import { CVE } from '../../../formats/cve.ts';
import { auditRecordSchema } from '../../fleet/audit/entry.ts';
import type { Silence } from '../../fleet/listening.ts';
import { machineSchema } from '../../fleet/machine.ts';
import { LABEL_NAME, LABEL_VALUE, MODES, nodeRecordSchema } from '../../fleet/record.ts';
import { STATES } from '../../fleet/transitions.ts';
import type { Exposure } from '../../releases/exposure.ts';
import type { IncidentView } from '../incident/acts.ts';
import { moment, nodeWord, nodeWords, reason, siteName, typed, version } from '../input.ts';
import { AT_SITES, atNodes, operation, READ } from '../operation.ts';
import type { BmcKnown, BootEvent, Uses } from './acts.ts';
import type { Fenced } from './fence.ts';

const stuckSchema = z.object({ since: z.number(), step: z.string(), check: z.string() }).nullable();
const viewSchema = nodeRecordSchema.extend({
  lastSeen: z.number().nullable(),
  stuck: stuckSchema,
  /** Why the image that it is pinned to may not be run any more; absent: it may, or there is no pin. */
  pinFlaw: z.string().optional(),
  /** In what its hardware falls short of the profile of its model. */
  shortfalls: z.array(z.string()).optional(),
});
const countSchema = z.int().min(0);
const overviewSchema = z.object({
  nodes: z.array(viewSchema),
  machines: z.array(machineSchema.extend({ stuck: stuckSchema })),
  counts: z.object({
    registered: countSchema,
    reachable: countSchema,
    healthy: countSchema,
    usable: countSchema,
  }),
  /** Where nobody listens: what is shown of nodes there is what was heard last. */
  silent: typed<Silence[]>(),
  unreadable: z.array(z.string()),
  /** Where a CVE was asked for: what is known of the images, and the nodes whose image nobody can tell of. */
  cve: typed<Exposure>().optional(),
  /** Milliseconds since the epoch, by the server's clock: what ages are counted from. */
  now: z.number(),
});

export const list = operation({
  name: 'node list',
  help: 'all nodes, and machines that were only seen',
  who: READ,
  input: z.strictObject({
    site: siteName.optional(),
    state: z.enum(STATES).optional(),
    /** Only nodes whose image has it. */
    cve: z.string().regex(CVE).optional(),
  }),
  result: overviewSchema,
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'node show',
  help: 'everything about one node (name, MAC, serial number or the beginning of its id)',
  who: READ,
  nodes: ['node'],
  input: z.strictObject({ node: nodeWord }),
  result: z.object({
    node: viewSchema,
    boots: typed<BootEvent[]>(),
    silent: typed<Silence[]>(),
    /** Its BMC, as the last test and the last action found it. */
    bmc: typed<BmcKnown>(),
    /** Null: it is no member. */
    uses: typed<Uses | null>(),
    /** Its last incident, also one that is over; null: it never had one. */
    incident: typed<IncidentView | null>(),
    now: z.number(),
  }),
  act: async () => (await import('./acts.ts')).show,
});

export const history = operation({
  name: 'node history',
  help: 'the whole life of a node, oldest first: when, who, what and why',
  who: READ,
  nodes: ['node'],
  input: z.strictObject({
    node: nodeWord,
    since: moment.optional(),
    last: z.int().min(1).optional(),
  }),
  result: z.array(auditRecordSchema),
  act: async () => (await import('./acts.ts')).history,
});

export const approve = operation({
  name: 'node approve',
  help: 'let a pending node in, after comparing the four words with its console',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({
    node: nodeWord,
    /** The words as a person saw them on its console. */
    words: z.array(z.string().max(40)).max(8),
    name: z.string().max(63).optional(),
  }),
  result: nodeRecordSchema,
  act: async () => (await import('./acts.ts')).approve,
});

export const reject = operation({
  name: 'node reject',
  help: 'refuse a pending node; it may be approved later',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord, reason }),
  result: nodeRecordSchema,
  act: async () => (await import('./acts.ts')).reject,
});

export const retire = operation({
  name: 'node retire',
  help: 'put a node out of the fleet: its certificate and its name end at once',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord, reason }),
  result: nodeRecordSchema,
  act: async () => (await import('./acts.ts')).retire,
});

export const fence = operation({
  name: 'node fence',
  help: 'take a node that cannot be trusted out at once; after a verified wipe it is let in again',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord, reason }),
  result: typed<Fenced>(),
  act: async () => (await import('./fence.ts')).fence,
});

const heldSchema = z.object({
  record: nodeRecordSchema,
  /** Rollouts that had begun with it: they carry on. */
  busy: z.array(z.string()),
});

export const hold = operation({
  name: 'node hold',
  help: 'keep rollouts away from a node, those that run and those to come, until a time or until it is let go',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord, reason, until: moment.optional() }),
  result: heldSchema,
  act: async () => (await import('./hold.ts')).hold,
});

export const unhold = operation({
  name: 'node unhold',
  help: 'let rollouts touch a node again',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord }),
  result: nodeRecordSchema,
  act: async () => (await import('./hold.ts')).unhold,
});

export const pin = operation({
  name: 'node pin',
  help: 'let a node be moved to one image only, until a time or until it is let go; it stays on what it runs',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord, image: version, reason, until: moment.optional() }),
  result: heldSchema,
  act: async () => (await import('./pin.ts')).pin,
});

export const unpin = operation({
  name: 'node unpin',
  help: 'let rollouts move a node to other images again',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord }),
  result: nodeRecordSchema,
  act: async () => (await import('./pin.ts')).unpin,
});

const place = z.string().regex(LABEL_VALUE).nullable().optional();
const changeSchema = z.strictObject({
  mode: z.enum(MODES).optional(),
  wipe: z.literal(true).optional(),
  rack: place,
  role: place,
  labels: z.record(z.string().regex(LABEL_NAME), z.string().regex(LABEL_VALUE).nullable()).optional(),
  /** It stands at this site from now on, under its rules. */
  site: siteName.optional(),
});

export const set = operation({
  name: 'node set',
  help: 'what is wanted of nodes (or of all of a site) and what rollouts may select them by',
  who: AT_SITES,
  nodes: ['nodes'],
  // Their present site, and their future site.
  site: (input, about) => [
    ...atNodes(input, about),
    ...(input.change.site === undefined ? [] : [input.change.site]),
  ],
  input: z.strictObject({ nodes: nodeWords, change: changeSchema }),
  result: z.object({
    /** For one node: its present state. */
    record: nodeRecordSchema.nullable(),
    changed: z.array(z.string()),
    same: z.array(z.string()),
    refused: z.array(
      z.object({
        name: z.string(),
        code: z.string(),
        what: z.string(),
        unchanged: z.string().optional(),
        next: z.string().optional(),
      }),
    ),
    /** Whether some of them had another wish before. */
    moved: z.boolean(),
  }),
  act: async () => (await import('./acts.ts')).set,
});

export const setSelect = operation({
  name: 'node set select',
  help: 'the nodes of a site that can be set together',
  who: AT_SITES,
  site: ({ site }) => [site],
  input: z.strictObject({ site: siteName }),
  result: z.array(z.object({ id: z.string(), name: z.string() })),
  act: async () => (await import('./acts.ts')).setSelect,
});
