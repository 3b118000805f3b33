import * as z from 'zod';
import { messageOf } from '../../base/error.ts';
import { plainIssue } from '../../base/plain-issue.ts';
import { ORDER_LIMITS } from '../../protocol/order.ts';
import { amount, some } from './amount-schema.ts';
import { durationSchema, gateSchema } from './gate.ts';
import { limitsSchema, ownLimitsSchema, windowsSchema } from './pace-schema.ts';
import { selectorSchema } from './selector.ts';
import { readWish } from './services.ts';

/** Why something cannot be done: the field as a person would write it (`waves[1].take`), and the reason. */
export type Refusal = { field: string; reason: string };

/** Characters of a spec's text; a spec that names 10,000 nodes fits. */
const MAX_SPEC_TEXT = 1024 * 1024;

const instant = z
  .string()
  .transform((text, ctx): number => {
    const date = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.exec(text)?.[1];
    const ms = date === undefined ? Number.NaN : Date.parse(text);
    // A day that the month does not have would become a day of the next month.
    if (!Number.isNaN(ms) && new Date(`${date}T00:00:00Z`).toISOString().startsWith(date ?? '')) return ms;
    ctx.addIssue({
      code: 'custom',
      message: 'must be an RFC 3339 time with its offset, "2030-01-31T22:00:00Z"',
    });
    return z.NEVER;
  })
  .optional();

/** Milliseconds. `node` is served by each node before the next one takes its place, `wave` by the wave as a whole. */
const bake = z.strictObject({ node: durationSchema.prefault('2m'), wave: durationSchema.prefault('10m') });
/** Failures tolerated: the budget is spent by the first one more. What is left out follows budget.ts. */
const budget = z.strictObject({ wave: amount.optional(), whole: amount.optional() });

const waveSchema = z.strictObject({
  name: z.string().min(1).max(64).optional(),
  /** Which nodes may be in it; without it, all that are left. */
  select: selectorSchema.optional(),
  /** How many of those: a number, a share (of the selected ones, else of the whole rollout) or all that are left. */
  take: z.union([z.literal('rest').transform(() => 'rest' as const), some]).default('rest'),
  bake: bake.partial().optional(),
  budget: amount.optional(),
  gates: z.array(gateSchema).max(20).optional(),
  /** While it is open: what is left out is that of the rollout. */
  limits: ownLimitsSchema.optional(),
  /** In place of all windows of the rollout; an empty list: at any time. */
  windows: windowsSchema.optional(),
});

/** Those of a spec that names none. */
export const USUAL_WAVES = [{ name: 'canary', take: 1 }, { take: '10%' }, { take: 'rest' }];

/** What a rollout moves: one of them. */
export const KINDS = ['image', 'config', 'services'] as const;

/** Reserved names and numbers of waves: commands use them. */
const RESERVED = /^(?:wave \d+|\d+|rest|tail)$/i;

const version = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._~^-]{0,63}$/, {
  error: 'is not a version: letters, digits and . _ ~ ^ - only, at most 64 characters',
});

const specSchema = z
  .strictObject({
    name: z.string().min(1).max(128).default('rollout'),
    /** The image to roll out; or `config`, a node configuration version. One of the two. */
    image: version.optional(),
    config: version.optional(),
    /** Or services, each `NAME:VERSION`, or `NAME:none` for one that ends. */
    services: z
      .array(
        z.string().refine((text) => readWish(text) !== null, {
          error: 'is not NAME:VERSION, as in "chrony:4.3", or "chrony:none" for one that ends',
        }),
      )
      .min(1)
      .max(ORDER_LIMITS.services)
      .optional(),
    nodes: selectorSchema,
    waves: z
      .array(waveSchema)
      .min(1)
      .max(100)
      .prefault([...USUAL_WAVES]),
    /** Nodes that may be under way at once, per failure domain. */
    limits: limitsSchema.prefault({}),
    /** While everything goes back: what is left out is as on the way forward. No window ever delays that. */
    rollback: z.strictObject({ limits: ownLimitsSchema.optional() }).prefault({}),
    gates: z.array(gateSchema).max(20).default([]),
    bake: bake.prefault({}),
    budget: budget.prefault({}),
    /** A spent budget or a failed gate pauses at once; then `rollback` takes everything touched back, newest first. */
    onSpent: z.enum(['pause', 'rollback']).default('rollback'),
    /** How many nodes to which it brought the image must refuse it before new hardware is kept from it. */
    refusals: z.int().min(1).max(1000).default(2),
    windows: windowsSchema.default([]),
    /** When a node gets the file: at its turn, or ahead of it, once a wave before has proven the version. */
    staging: z.enum(['turn', 'ahead']).default('turn'),
    notBefore: instant,
    notAfter: instant,
    /** Within a wave: spread over sites, one site after the other, or by name. */
    order: z.enum(['spread', 'site', 'name']).default('spread'),
    /** Changes which nodes come first; the same seed gives the same plan. */
    seed: z.string().max(64).default(''),
    /** Four eyes: how many people other than the author must approve before it starts. */
    approvals: z
      .strictObject({
        count: z.int().min(0).max(8).default(0),
        from: z.array(z.string().min(1).max(128)).min(1).optional(),
      })
      .prefault({}),
    /** Tries per node and version before it counts as failed. */
    attempts: z.int().min(1).max(5).default(2),
    /** Turns from healthy to unhealthy, or unasked restarts, that a bake forgives. */
    flaps: z.int().min(0).max(20).default(2),
    /** Milliseconds of rollout time. */
    timeouts: z
      .strictObject({
        stage: durationSchema.prefault('30m'),
        activate: durationSchema.prefault('15m'),
        attest: durationSchema.prefault('5m'),
        rollback: durationSchema.prefault('20m'),
        /** Unhealthy for longer than this is a failure. */
        unhealthy: durationSchema.prefault('3m'),
        /** Silence for longer than this, while it should be up, is a failure. */
        silent: durationSchema.prefault('3m'),
        /** An order without an answer is sent again, the same one. */
        resend: durationSchema.prefault('30s'),
      })
      .prefault({}),
    /** How long the tail wave waits for nodes that are offline. */
    offline: z.strictObject({ wait: durationSchema.prefault('7d') }).prefault({}),
    /** Nodes that start to match while it runs. */
    lateJoiners: z.enum(['tail', 'ignore']).default('tail'),
    /** For nodes that must pass through a barrier version first: refuse the plan, go through it, or leave them out. */
    barriers: z.enum(['refuse', 'pass', 'skip']).default('refuse'),
    /** Whether nodes that run a newer version are taken back to this one. */
    downgrade: z.boolean().default(false),
    /** Whether it may bring versions of services that are in preview. */
    preview: z.boolean().default(false),
    netboot: z.enum(['include', 'skip']).default('include'),
  })
  .superRefine((spec, ctx) => {
    const refuse = (path: (string | number)[], message: string) =>
      ctx.addIssue({ code: 'custom', path, message });
    const [moved, ...more] = KINDS.filter((kind) => spec[kind] !== undefined);
    if (moved === undefined) {
      refuse(
        ['image'],
        'is missing: name the image (or the config, or the services) to roll out, here or with --image, --config or --service',
      );
    }
    for (const kind of more) refuse([kind], `cannot stand beside ${moved}: one rollout moves one thing`);
    const services = (spec.services ?? []).map((text) => readWish(text)?.name);
    for (const [index, name] of services.entries()) {
      const first = services.indexOf(name);
      if (name !== undefined && first < index)
        refuse(['services', index], `names the service of services[${first}] again: it has one version`);
    }
    if (spec.services !== undefined && spec.staging === 'ahead')
      refuse(
        ['staging'],
        'is for images and configurations: a service is fetched while the one before runs on',
      );
    const { count, from } = spec.approvals;
    const people = new Set(from ?? []);
    if (from !== undefined && people.size < from.length) {
      refuse(['approvals', 'from'], 'names somebody twice; each person approves once');
    }
    if (from !== undefined && count > people.size) {
      refuse(['approvals', 'count'], `wants ${count} people, and from names ${people.size}`);
    }
    const names = new Map<string, number>();
    for (const [index, { name, take }] of spec.waves.entries()) {
      if (name === undefined) continue;
      const before = names.get(name.toLowerCase());
      const own = [`wave ${index + 1}`, ...(take === 'rest' ? ['rest'] : [])];
      const taken = RESERVED.test(name) && !own.includes(name.toLowerCase());
      if (before !== undefined) refuse(['waves', index, 'name'], `is that of waves[${before}] as well`);
      else if (taken) refuse(['waves', index, 'name'], 'is what another wave, or none, would be called');
      names.set(name.toLowerCase(), index);
    }
    let percent = 0;
    let rest = -1;
    for (const [index, wave] of spec.waves.entries()) {
      if (rest >= 0) {
        refuse(['waves', index], `comes after waves[${rest}], which takes all that are left`);
      }
      if (wave.take === 'rest') {
        if (wave.select === undefined) rest = index;
      } else if (wave.select === undefined && 'percent' in wave.take) {
        percent = Math.round((percent + wave.take.percent) * 1000) / 1000;
        if (percent > 100)
          refuse(['waves', index, 'take'], `makes the waves ${percent} % of the nodes, over 100 %`);
      }
    }
    if (spec.notBefore !== undefined && spec.notAfter !== undefined && spec.notAfter <= spec.notBefore) {
      refuse(['notAfter'], 'is not after notBefore, so the window never opens');
    }
    if (spec.staging === 'ahead' && spec.waves.length === 1) {
      refuse(
        ['staging'],
        'begins with the second wave, when the first has proven the version; there is one wave',
      );
    }
    const zero = Object.entries(spec.timeouts).find(([, ms]) => ms === 0);
    if (zero !== undefined) refuse(['timeouts', zero[0]], 'must be more than nothing');
  });
/** A checked spec with every default filled in: durations in milliseconds, clock times in minutes. */
export type Spec = z.infer<typeof specSchema>;

export type Checked = { ok: true; spec: Spec } | { ok: false; refusals: Refusal[] };

function fieldOf(path: readonly PropertyKey[]): string {
  let field = '';
  for (const part of path) {
    if (typeof part === 'number') field += `[${part}]`;
    else field += field === '' ? String(part) : `.${String(part)}`;
  }
  return field === '' ? '(whole spec)' : field;
}

const PAGE = 'docs/rollouts.md';

/** A union's own message says nothing ("Invalid input"); the last branch is the general one and says why. */
function flatten(issues: readonly z.core.$ZodIssue[], base: readonly PropertyKey[] = []): Refusal[] {
  return issues.flatMap((issue) => {
    const path = [...base, ...issue.path];
    const branch = issue.code === 'invalid_union' ? issue.errors.at(-1) : undefined;
    if (branch !== undefined && branch.length > 0) return flatten(branch, path);
    return [{ field: fieldOf(path), reason: plainIssue(issue, PAGE) }];
  });
}

export function checkSpec(value: unknown): Checked {
  const result = specSchema.safeParse(value);
  if (result.success) return { ok: true, spec: result.data };
  return { ok: false, refusals: flatten(result.error.issues) };
}

/** The JSON of a spec's text: never throws. */
export function readText(text: string): { ok: true; value: unknown } | { ok: false; refusals: Refusal[] } {
  if (text.length > MAX_SPEC_TEXT) {
    return { ok: false, refusals: [{ field: '(whole spec)', reason: 'is larger than 1 MiB' }] };
  }
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, refusals: [{ field: '(whole spec)', reason: `is not JSON: ${messageOf(error)}` }] };
  }
}
