import { line } from '../base/line.ts';

/** @returns version of the image from os-release (`IMAGE_VERSION`, os-release(5)); `unknown` where there is none */
export function imageVersion(osRelease: string): string {
  return line(/^IMAGE_VERSION="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? 'unknown', 64);
}
