import { z } from 'zod';
import type { ShownRole } from '../../../image/publish/roles.ts';
import type { Rotated } from '../../../image/publish/rotate.ts';
import type { InitResult } from '../../../keys/init.ts';
import { AUTHORITIES, type AuthorityName } from '../../../keys/layout.ts';
import { RELEASE_ROLES } from '../../../keys/release/roles.ts';
import type { ShownKey } from '../../../keys/show.ts';
import type { TpmRoot } from '../../../keys/tpm-roots.ts';
import type { Shown } from '../../rotation/rotate.ts';
import { media, nothing, reason, typed, version } from '../input.ts';
import { ADMIN, CORE, operation, READ } from '../operation.ts';
import type { CaView, DbStep, Lists, ListsView } from './acts.ts';

const folder = z.string().min(1).max(4096);

export const init = operation({
  name: 'keys init',
  help: 'make what is missing: Secure Boot keys, fleet CA, SSH, PCR policy, order and release keys; overwrites nothing',
  who: ADMIN,
  offline: 'files',
  hostOnly: true,
  input: nothing,
  result: typed<InitResult>(),
  act: async () => (await import('./acts.ts')).init,
});

export const show = operation({
  name: 'keys show',
  help: 'fingerprints, expiry and problems; reads no secret',
  who: READ,
  offline: 'files',
  input: nothing,
  result: typed<ShownKey[]>(),
  act: async () => (await import('./acts.ts')).show,
});

export const roles = operation({
  name: 'keys roles',
  help: 'who signs releases: keys and thresholds by role, which keys are here, what expires when',
  who: READ,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ keys: media }),
  result: typed<ShownRole[]>(),
  act: async () => (await import('./release.ts')).shownRoles,
});

export const rotate = operation({
  name: 'keys rotate',
  help: 'give a release role new keys, in the places where its keys are now',
  who: ADMIN,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ role: z.enum(RELEASE_ROLES), keys: media }),
  result: typed<Rotated>(),
  act: async () => (await import('./release.ts')).rotateRole,
});

export const ceremony = operation({
  name: 'keys ceremony',
  help: 'new root and targets keys on removable storage, one pair on each; the old ones go',
  who: ADMIN,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    directories: z.array(folder).min(1).max(100),
    threshold: z.int().min(1).max(100),
    targetsThreshold: z.int().min(1).max(100),
    keys: media,
  }),
  result: typed<Rotated>(),
  act: async () => (await import('./release.ts')).holdCeremony,
});

export const tpmRootsAdd = operation({
  name: 'keys tpm-roots add',
  help: 'trust the CA certificates of TPM makers in these files (PEM or DER); counts at once',
  who: ADMIN,
  offline: 'files',
  input: z.strictObject({
    /** The files, base64. */
    files: z.array(z.string().max(1_500_000)).min(1).max(100),
  }),
  result: typed<TpmRoot[]>(),
  act: async () => (await import('./acts.ts')).tpmRootsAdd,
});

export const tpmRootsList = operation({
  name: 'keys tpm-roots list',
  help: 'the CA certificates of TPM makers that are trusted; to trust one no more, remove its file',
  who: READ,
  offline: 'files',
  input: nothing,
  result: typed<TpmRoot[]>(),
  act: async () => (await import('./acts.ts')).tpmRootsList,
});

export const caShow = operation({
  name: 'keys ca show',
  help: 'every issuing CA that this fleet has had, and whether its certificates still count',
  who: READ,
  offline: 'records',
  input: nothing,
  result: typed<CaView[]>(),
  act: async () => (await import('./acts.ts')).caShow,
});

/** One step in the life of an issuing CA. Not under break-glass: which CA signs, and which counts, outlasts the hour. */
const caStep = <T extends 'prepare' | 'activate' | 'taint' | 'revoke'>(step: T, help: string) =>
  operation({
    name: `keys ca ${step}`,
    help,
    who: ADMIN,
    offline: 'records',
    input: z.strictObject({
      ca: z.enum(AUTHORITIES),
      /** Its id or the beginning of it; absent if there can be only one. */
      id: z.string().max(64).optional(),
      reason,
      /** Nodes and operators that cannot follow are left behind. */
      force: z.boolean(),
    }),
    result: typed<Shown & { ca: AuthorityName }>(),
    act: async () => (await import('./acts.ts')).caSteps[step],
  });
export const caPrepare = caStep(
  'prepare',
  'make the next CA; everybody trusts it from now on, beside the others',
);
export const caActivate = caStep(
  'activate',
  'sign with the prepared CA from now on; refused while a running server has not loaded it',
);
export const caTaint = caStep(
  'taint',
  'have whoever holds a certificate of this CA renew now, spread over two minutes',
);
export const caRevoke = caStep(
  'revoke',
  'accept no certificate of this CA any more, for good; refused while somebody holds one',
);

export const secureBootShow = operation({
  name: 'keys secure-boot show',
  help: 'the generation of the lists, the keys that sign images and who trusts them, every revoked image',
  who: READ,
  offline: 'records',
  input: nothing,
  result: typed<ListsView>(),
  act: async () => (await import('./acts.ts')).secureBootShow,
});

export const secureBootRevoke = operation({
  name: 'keys secure-boot revoke',
  help: 'revoke an image for good: no machine starts it any more; images built from now on bring that to nodes',
  who: CORE,
  offline: 'records',
  input: z.strictObject({ version, reason }),
  result: typed<Lists & { version: string; changed: boolean }>(),
  act: async () => (await import('./acts.ts')).secureBootRevoke,
});

const dbInput = z.strictObject({
  reason,
  /** Nodes that cannot follow are left behind. */
  force: z.boolean(),
});

export const secureBootPrepare = operation({
  name: 'keys secure-boot prepare',
  help: 'make the next key that signs images; nodes come to trust it beside the old one',
  who: ADMIN,
  offline: 'records',
  input: dbInput,
  result: typed<DbStep>(),
  act: async () => (await import('./acts.ts')).dbSteps.prepare,
});

export const secureBootActivate = operation({
  name: 'keys secure-boot activate',
  help: 'sign images with the prepared key; refused while a node would not start them',
  who: ADMIN,
  offline: 'records',
  input: dbInput,
  result: typed<DbStep>(),
  act: async () => (await import('./acts.ts')).dbSteps.activate,
});

export const secureBootRetire = operation({
  name: 'keys secure-boot retire',
  help: 'end the trust in the old key; refused while a node needs it',
  who: ADMIN,
  offline: 'records',
  input: dbInput.extend({
    /** All nodes have lost it: a machine that still shows it is a stranger. */
    final: z.boolean(),
  }),
  result: typed<DbStep>(),
  act: async () => (await import('./acts.ts')).dbSteps.retire,
});
