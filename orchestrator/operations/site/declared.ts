import { z } from 'zod';
import { policySchema, signalRule, siteSchema } from '../../fleet/site.ts';
import { nothing, siteName } from '../input.ts';
import { AT_SITES, CORE, operation, READ } from '../operation.ts';

/** Only what is given changes: the defaults of a new site are not those of a change. */
const shape = policySchema.shape;
const policy = z.strictObject({
  acceptUnknown: shape.acceptUnknown.unwrap().optional(),
  noTpm: shape.noTpm.unwrap().optional(),
  bios: shape.bios.unwrap().optional(),
  secureBoot: shape.secureBoot.unwrap().optional(),
  ekCertificate: shape.ekCertificate.unwrap().optional(),
  attestation: shape.attestation.unwrap().optional(),
  firmware: shape.firmware.unwrap().optional(),
  image: shape.image.unwrap().optional(),
  floor: shape.floor.unwrap().optional(),
  recovery: shape.recovery.unwrap().optional(),
  automation: shape.automation.unwrap().optional(),
  rescue: shape.rescue.unwrap().optional(),
  evidence: shape.evidence.unwrap().optional(),
  traffic: shape.traffic.unwrap().optional(),
  /** Only those that are named change; null: the usual rule again. */
  signals: z.record(z.string().max(64), signalRule.nullable()).optional(),
});
const named = z.strictObject({ name: siteName });

export const add = operation({
  name: 'site add',
  help: 'make a site',
  who: CORE,
  input: named.extend({ policy: policy.omit({ recovery: true }) }),
  result: siteSchema,
  act: async () => (await import('./acts.ts')).add,
});

export const set = operation({
  name: 'site set',
  help: 'change the settings of a site',
  who: AT_SITES,
  site: ({ name }) => [name],
  // That disks are wiped with no person asked. One is enough to take that back.
  fourEyes: ({ policy }) => policy.recovery !== undefined && policy.recovery !== 'person',
  input: named.extend({ policy }),
  result: siteSchema,
  act: async () => (await import('./acts.ts')).set,
});

export const list = operation({
  name: 'site list',
  help: 'all sites',
  who: READ,
  input: nothing,
  result: z.array(siteSchema),
  act: async () => (await import('./acts.ts')).list,
});

export const show = operation({
  name: 'site show',
  help: 'one site',
  who: READ,
  input: named,
  result: siteSchema,
  act: async () => (await import('./acts.ts')).show,
});
