import { z } from 'zod';
import { RESERVATION_LIMITS } from '../../../protocol/reservation.ts';
import { MOST_NODES } from '../../../protocol/service/growth.ts';
import type { Slice } from '../../fleet/decisions/slices.ts';
import type { Explained } from '../../slices/explain.ts';
import {
  moment,
  nodeWord,
  nothing,
  reason,
  serviceWord,
  siteName,
  sliceName,
  templateName,
  typed,
} from '../input.ts';
import { CORE, OF_SLICES, operation, READ_SLICES } from '../operation.ts';
import type { ListedSlice, ShownSlice } from './acts.ts';
import type { ShownReservation } from './reserve.ts';

const named = z.strictObject({ name: sliceName });
const said = named.extend({ reason: reason.optional() });
const mine = ({ name }: { name: string }): readonly string[] => [name];
/** Of one owner, for each of what they may decide. */
const PER_HOUR = 60;
const words = z.array(siteName).min(1).max(100);
/** Which nodes, how many, and what it has of each. */
const wish = z.strictObject({
  /** Of the log of decisions, which stays for ever: each change of places names all nodes. */
  count: z.int().min(1).max(MOST_NODES),
  perSite: z.int().min(1).max(MOST_NODES).nullable(),
  where: z.strictObject({
    site: words.optional(),
    rack: words.optional(),
    role: words.optional(),
    labels: z.record(z.string().min(1).max(128), z.string().max(128)).optional(),
    not: z.array(nodeWord).min(1).max(500).optional(),
  }),
  share: z.strictObject({
    /** Percent of one processor. */
    cpu: z.int().min(1).max(RESERVATION_LIMITS.cpu),
    /** Bytes. */
    memory: z
      .int()
      .min(4 * 2 ** 20)
      .max(RESERVATION_LIMITS.memory),
    disk: z
      .int()
      .min(0)
      .max(2 ** 50),
    ports: z
      .array(z.string().regex(/^(?:tcp|udp)\/[1-9]\d{0,4}$/, { error: 'is no port, as in tcp/8080' }))
      .max(64),
  }),
});

export const create = operation({
  name: 'slice create',
  help: 'give somebody a share of so many nodes, until a day',
  who: CORE,
  input: wish.extend({
    name: sliceName,
    teams: z.array(z.string().min(1).max(32)).max(64),
    /** Hours of each week for which more may be reserved. */
    hours: z.int().min(0).max(168).optional(),
    /** Nodes up to which its own instances have it grow. */
    grow: z.int().min(1).max(MOST_NODES).optional(),
    expires: moment,
    reason: reason.optional(),
  }),
  result: typed<ShownSlice>(),
  act: async () => (await import('./acts.ts')).create,
});

export const plan = operation({
  name: 'slice plan',
  help: 'which nodes a slice would have and why, which not and why not, and what would help; decides nothing',
  who: READ_SLICES,
  slice: mine,
  /** Of a slice that is there already, what is left out stays as it is. */
  input: wish.partial().extend({ name: sliceName }),
  result: typed<Explained>(),
  act: async () => (await import('./acts.ts')).plan,
});

export const list = operation({
  name: 'slice list',
  help: 'slices, until when they are there and how many nodes they have; an owner sees their own',
  who: READ_SLICES,
  input: nothing,
  result: typed<ListedSlice[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'slice show',
  help: 'a slice: its share, its nodes and what runs on each of them, its owners',
  who: READ_SLICES,
  slice: mine,
  input: named,
  result: typed<ShownSlice>(),
  act: async () => (await import('./acts.ts')).show,
});

export const run = operation({
  name: 'slice run',
  help: 'run these services, and no others, on each node of a slice; a rollout that starts at once brings them',
  who: OF_SLICES,
  slice: mine,
  perHour: PER_HOUR,
  input: said.extend({
    services: z.array(serviceWord).min(1).max(32),
    /** Of the rollout that brings them. */
    template: templateName.optional(),
  }),
  result: typed<ShownSlice>(),
  act: async () => (await import('./run.ts')).run,
});

export const stop = operation({
  name: 'slice stop',
  help: 'end what a slice runs; its nodes stay its own',
  who: OF_SLICES,
  slice: mine,
  perHour: PER_HOUR,
  input: said,
  result: typed<ShownSlice>(),
  act: async () => {
    const { run } = await import('./run.ts');
    return (input, acting) => run({ ...input, services: [] }, acting);
  },
});

export const extend = operation({
  name: 'slice extend',
  help: 'have a slice end later; an owner at most 90 days from now',
  who: OF_SLICES,
  slice: mine,
  perHour: PER_HOUR,
  input: said.extend({ expires: moment }),
  result: typed<Slice>(),
  act: async () => (await import('./acts.ts')).extend,
});

export const reserve = operation({
  name: 'slice reserve',
  help: 'reserve more of each node of a slice for some hours, from the same instant on all of them; a refusal names the next free time',
  who: OF_SLICES,
  slice: mine,
  perHour: PER_HOUR,
  input: said.extend({
    cpu: z.int().min(0).max(RESERVATION_LIMITS.cpu),
    memory: z.int().min(0).max(RESERVATION_LIMITS.memory),
    from: moment,
    /** Milliseconds. */
    length: z
      .number()
      .min(1000)
      .max(366 * 24 * 3600_000),
  }),
  result: typed<ShownReservation>(),
  act: async () => (await import('./reserve.ts')).reserve,
});

export const reservations = operation({
  name: 'slice reservations',
  help: 'what is reserved for a slice, how exactly its nodes began, and how far their clocks are off',
  who: READ_SLICES,
  slice: mine,
  input: named,
  result: typed<ShownReservation[]>(),
  act: async () => (await import('./reserve.ts')).reservations,
});

export const unreserve = operation({
  name: 'slice unreserve',
  help: 'end a reservation of a slice, or never begin it',
  who: OF_SLICES,
  slice: mine,
  perHour: PER_HOUR,
  input: said.extend({ number: z.int().min(1) }),
  result: typed<ShownReservation>(),
  act: async () => (await import('./reserve.ts')).unreserve,
});

export const remove = operation({
  name: 'slice delete',
  help: 'end a slice for good: what it runs ends, and what that kept goes',
  who: OF_SLICES,
  slice: mine,
  perHour: PER_HOUR,
  input: said,
  result: typed<Slice>(),
  act: async () => (await import('./acts.ts')).remove,
});
