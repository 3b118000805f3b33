/** How services, their versions and their bundles are called: by people, in TUF's metadata, on servers and nodes. */
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { isVersion, versionSchema } from '../../formats/version.ts';

/** Whose services have no owner in their name as people write it: the core team's. */
export const FLEET = 'fleet';

const WORD = '[a-z](?:[0-9a-z-]{0,30}[0-9a-z])?';
const NAME = new RegExp(`^${WORD}/${WORD}$`);
const INSTANCE = new RegExp(`^${WORD}/${WORD}(?:@${WORD})?$`);
const SLICE = new RegExp(`^${WORD}$`);

/** `owner/name`; the owner is `fleet`, or the last word of a team's prefix. */
export const serviceNameSchema = z.string().check(z.regex(NAME, { error: 'is not OWNER/NAME' }));

/**
 * What runs on a node, one of each name: a service, or a service of a slice, as `web/shop@probe`. So two slices run the same
 * service side by side, and an image from before slices understands no order that names one.
 */
export const instanceNameSchema = z
  .string()
  .check(z.regex(INSTANCE, { error: 'is not OWNER/NAME or OWNER/NAME@SLICE' }));
export const sliceNameSchema = z
  .string()
  .check(z.regex(SLICE, { error: 'is no name: 1 to 32 lower-case letters, digits and dashes' }));

/** `fleet`, or the last word of a team's prefix. @param name of a service, or of an instance */
export const ownerOf = (name: string): string => name.split('/')[0] ?? '';
/** @param service `owner/name` */
export const inSlice = (service: string, slice: string): string => `${service}@${slice}`;
/** The service whose bundle an instance runs. */
export const serviceOf = (instance: string): string => instance.split('@')[0] ?? '';
/** Null: it is the fleet's own. */
export const sliceOf = (instance: string): string | null => instance.split('@')[1] ?? null;

/** The instance by which what an instance depends on is there: of its own slice, or else the fleet's own. */
export function nearest(service: string, from: string, isThere: (instance: string) => boolean): string {
  const slice = sliceOf(from);
  const own = slice === null ? service : inSlice(service, slice);
  return isThere(own) ? own : service;
}

/** With its owner. */
export const fullName = (written: string): string =>
  written.includes('/') ? written : `${FLEET}/${written}`;
/** As people write it. */
export const shownName = (name: string): string =>
  name.startsWith(`${FLEET}/`) ? name.slice(FLEET.length + 1) : name;

/** In place of a version, in what a rollout brings: the service ends. */
export const NONE = 'none';

/** Of what is published: no rollout could bring a version with that name. */
export const serviceVersionSchema = versionSchema.check(z.refine((text) => text !== NONE));

/** A version of a service. */
export type ServiceVersion = { name: string; version: string };

/**
 * What a person writes: `chrony:4.3` is the core team's, `web/shop:1.4` that of the owner `web`.
 * @returns null if it is neither
 */
export function parseServiceVersion(text: string): ServiceVersion | null {
  const found = parseInstanceVersion(text);
  return found !== null && NAME.test(found.name) ? found : null;
}

/** As `parseServiceVersion`, also of a service of a slice: `web/shop@probe:1.4`. */
export function parseInstanceVersion(text: string): ServiceVersion | null {
  const [written = '', version = '', ...rest] = text.split(':');
  const name = fullName(written);
  return rest.length === 0 && INSTANCE.test(name) && isVersion(version) ? { name, version } : null;
}

/** The version whose bundle an instance runs. */
export const bundleOf = ({ name, version }: ServiceVersion): ServiceVersion => ({
  name: serviceOf(name),
  version,
});

/** As records and decisions have it: with its owner. */
export const fullServiceVersion = ({ name, version }: ServiceVersion): string => `${name}:${version}`;

/** As people read it. */
export const shownServiceVersion = ({ name, version }: ServiceVersion): string =>
  `${shownName(name)}:${version}`;

/** Path of the target in TUF's metadata (1.0.34, 4.5): directly below a prefix that a team can have. */
export const bundleTarget = ({ name, version }: ServiceVersion): string =>
  `services/${serviceOf(name)}_${version}`;

/** @returns null if a path of a target is no bundle's */
export function serviceOfTarget(path: string): ServiceVersion | null {
  const [, name = '', version = ''] = /^services\/([^_]+)_([^_]+)$/.exec(path) ?? [];
  return NAME.test(name) && isVersion(version) ? { name, version } : null;
}

/** Where a boot server has a bundle below its HTTP root: by its content, so the same bytes are there once. */
export const bundleUrlPath = (sha256: string): string => `bundles/${sha256}`;
