/**
 * How an instance of a slice asks for more nodes for its slice: by a token that it makes for this one wish, with a key that it gets
 * as a secret. The key goes over no wire again; who listens in can repeat the wish, which is done already.
 */
import { createHmac } from 'node:crypto';
import * as z from 'zod/mini';
import { sha256Hex } from '../../formats/digest.ts';
import { nodeIdSchema } from '../order.ts';
import { instanceNameSchema } from './name.ts';

/** The secret that a manifest names to get it: JSON, `node`, `instance` and `key` (64 hexadecimal digits). */
export const GROWTH_SECRET = 'slice-growth';
/** Milliseconds for which a token counts; and by which the clocks of node and server may differ. */
export const GROWTH_LIFE = 300_000;
/** Nodes of a slice. */
export const MOST_NODES = 500;

export const growthRequest = z.strictObject({
  node: nodeIdSchema,
  instance: instanceNameSchema,
  /** Nodes that the slice is to have, those that it has counted. */
  count: z.int().check(z.gte(1), z.lte(MOST_NODES)),
  /** When it was asked, milliseconds since the epoch. */
  at: z.int().check(z.gte(0)),
  /** See `growthToken`. */
  token: sha256Hex,
});
export type GrowthRequest = z.infer<typeof growthRequest>;

/** What the slice is to have now, and has. */
export const growthReply = z.object({ count: z.int(), nodes: z.int() });
export type Grown = z.infer<typeof growthReply>;

/** HMAC with SHA-256 (RFC 2104) over the wish, hex. @param key 32 bytes */
export const growthToken = (
  key: Uint8Array,
  { node, instance, count, at }: Omit<GrowthRequest, 'token'>,
): string =>
  createHmac('sha256', key).update(`bootwave growth 1\n${node}\n${instance}\n${count}\n${at}`).digest('hex');

export type GrowthSecret = { node: string; instance: string; key: Buffer };

export const growthSecret = ({ node, instance, key }: GrowthSecret): Buffer =>
  Buffer.from(JSON.stringify({ node, instance, key: key.toString('hex') }));

/** What its key is derived for (keys/at-rest.ts): the key of another node or instance is another one. */
export const growthPurpose = ({ node, instance }: Pick<GrowthSecret, 'node' | 'instance'>): string =>
  JSON.stringify(['slice growth 1', node, instance]);
