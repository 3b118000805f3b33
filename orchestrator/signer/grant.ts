/**
 * Whether a node may run what somebody asks for in an instance, as a pure function of what they have signed and of what is on this
 * machine's own disk. Neither whoever owns Redis nor a node can have anything run by that.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { commandSchema, GRANT_FORMAT, GRANT_LIMITS, type Grant } from '../../protocol/grant.ts';
import { nodeIdSchema, type Order } from '../../protocol/order.ts';
import { instanceNameSchema, shownName, sliceOf } from '../../protocol/service/name.ts';
import { type Known, personOf } from '../operators/people.ts';
import { type Signed as Asked, readWish } from '../operators/request.ts';
import type { Decided } from './decisions.ts';
import { unsigned } from './unsigned.ts';

/** The operation that is signed, and its input: every name is what it means. */
export const EXEC = 'slice exec';
const wishSchema = z.strictObject({
  name: z.string(),
  node: nodeIdSchema,
  instance: instanceNameSchema,
  command: commandSchema,
});
export type ExecWish = z.infer<typeof wishSchema>;

export type GrantGrounds = {
  known: Known;
  decided: Pick<Decided, 'rollouts' | 'restraints'>;
  /** Services of the order that was signed for that node last. */
  services: Order['services'];
  /** Milliseconds since the epoch. */
  now: number;
};

/** Of what the text is about; null: it is nothing that this signer grants. */
export function wishOf(text: string): ExecWish | null {
  const wish = readWish(text);
  return wish?.operation === EXEC ? (wishSchema.safeParse(wish.input).data ?? null) : null;
}

/** @throws BootwaveError `SIGNER_GRANT_*`, `OPERATOR_*` */
export function judgeGrant({ text, vote }: Asked, { known, decided, services, now }: GrantGrounds): Grant {
  const wish = wishOf(text);
  const asked = readWish(text);
  if (wish === null || asked === null || asked.at !== vote.at)
    throw unsigned('SIGNER_GRANT_TEXT', 'what was signed is no command in an instance', 'ask again');
  const { name, node, instance, command } = wish;
  const person = personOf(vote, 'ask', text, known, now);
  if (asked.actor !== `operator:${person.name}` || Math.abs(now - vote.at) > GRANT_LIMITS.life)
    throw unsigned('SIGNER_GRANT_TEXT', 'what was signed was not signed just now, by who asks', 'ask again');
  const isTheirs = person.role === 'slice-owner' && person.slices.includes(name);
  if (!isTheirs && person.role !== 'core' && person.role !== 'admin')
    throw unsigned('SIGNER_GRANT_PERSON', `${person.name} is no owner of slice '${name}'`, 'ask its owner');
  const slice = decided.rollouts.slices.of(name);
  if (
    slice?.state !== 'live' ||
    now >= slice.expires ||
    !slice.nodes.includes(node) ||
    sliceOf(instance) !== name
  )
    throw unsigned(
      'SIGNER_GRANT_SLICE',
      `nobody has decided that slice '${name}' is there now and has ${node} with ${shownName(instance)}`,
      `look at 'bootwave slice show ${name}'`,
    );
  if (!services.some((one) => one.name === instance))
    throw unsigned(
      'SIGNER_GRANT_ORDER',
      `the order of ${node} does not name ${shownName(instance)}`,
      `wait for its rollout, or look at the name of the service: 'bootwave slice show ${name}' has all`,
    );
  if (decided.restraints.on(node, [instance]).some(({ how }) => how === 'freeze'))
    throw unsigned('SIGNER_GRANT_FROZEN', `${shownName(instance)} is frozen there`, 'ask the core team why');
  return {
    ...{ format: GRANT_FORMAT, node, instance, command, by: asked.actor },
    nonce: createHash('sha256').update(text).digest('hex'),
    ...{ issuedAt: now, expires: now + GRANT_LIMITS.life },
  };
}
