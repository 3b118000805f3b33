import { BootwaveError, messageOf } from '../../base/error.ts';
import { isDiskFull } from '../build/failure.ts';

const UNCHANGED = 'nothing was packed or published';

const NEXT = {
  SERVICE_OCI: "make it with 'docker save', 'podman save', 'buildah push' or 'skopeo copy', one image in it",
  SERVICE_MEDIA_TYPE: 'make it anew with tar, gzip or zstd layers',
  SERVICE_DIGEST: 'it is damaged, or somebody changed it: make it anew',
  SERVICE_LAYER: 'take that out of the image',
  SERVICE_TOO_LARGE:
    'make a smaller image: what is compiled and fetched while it is built belongs in a stage of its own',
  SERVICE_MOUNT_POINT: 'have a folder there in the image, or name another path in the manifest',
  SERVICE_MANIFEST: 'docs/services.md says what a manifest has',
} as const;

/** What an image or a manifest is refused for. */
export function refused(code: keyof typeof NEXT, what: string, cause?: unknown): BootwaveError {
  return new BootwaveError({ code, what, unchanged: UNCHANGED, next: NEXT[code], cause });
}

/** Umoci gives files the owners that the image names, which only root can. @throws BootwaveError `SERVICE_NEEDS_ROOT` */
export function mustBeRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new BootwaveError({
    code: 'SERVICE_NEEDS_ROOT',
    what: 'only root can unpack an image with the owners of its files',
    unchanged: UNCHANGED,
    next: 'run it as root, for example with sudo',
  });
}

/** A full disk becomes an error on which a user can act. */
export function asServiceFailure(error: unknown, folder: string): unknown {
  if (!isDiskFull(error)) return error;
  return new BootwaveError({
    code: 'SERVICE_DISK_FULL',
    what: `the disk below ${folder} is full: ${messageOf(error)}`,
    unchanged: `${UNCHANGED}, and what was written was removed`,
    next: 'free some space there: it takes about three times what the image holds',
    cause: error,
  });
}
