/** A bundle and the target that names it. */
import { isDeepStrictEqual } from 'node:util';
import { TargetFile } from '@tufjs/models';
import { type BundleCustom, bundleCustom } from '../../protocol/service/bundle.ts';
import { bundleTarget, serviceOfTarget } from '../../protocol/service/name.ts';

/** A bundle, and what the metadata says of it. */
export type Bundled = { file: string; sha256: string; size: number; custom: BundleCustom };

export function targetOfBundle({ sha256, size, custom }: Bundled): TargetFile {
  const { service: name, version } = custom;
  return new TargetFile({
    path: bundleTarget({ name, version }),
    length: size,
    hashes: { sha256 },
    unrecognizedFields: { custom: { bootwave: custom } },
  });
}

/** Whether both say the same of a bundle; a field that came to manifests later counts as what its absence means. */
export function isSame(a: TargetFile, b: TargetFile): boolean {
  const said = (target: TargetFile) => {
    const { path, length, hashes, custom } = target;
    return [path, length, hashes, customOf(target) ?? custom];
  };
  return isDeepStrictEqual(said(a), said(b));
}

/** An edit of what is released, with this in it; null: it is already. */
export const withTarget =
  (file: TargetFile) =>
  (released: readonly TargetFile[]): TargetFile[] | null => {
    const there = released.find(({ path }) => path === file.path);
    return there !== undefined && isSame(there, file)
      ? null
      : [...released.filter((one) => one !== there), file];
  };

/** The same without what has this path. */
export const withoutTarget =
  (path: string) =>
  (released: readonly TargetFile[]): TargetFile[] | null => {
    const kept = released.filter((one) => one.path !== path);
    return kept.length < released.length ? kept : null;
  };

/** @returns null if it is no service's, or is not understood here */
export function customOf(target: TargetFile): BundleCustom | null {
  const service = serviceOfTarget(target.path);
  const read = bundleCustom.safeParse(target.custom);
  if (service === null || !read.success) return null;
  const { bootwave } = read.data;
  return bootwave.service === service.name && bootwave.version === service.version ? bootwave : null;
}
