import { buildImage } from '../../../image/build/build.ts';
import type { BuildProgress } from '../../../image/build/progress.ts';
import type { Acting } from '../operation.ts';

/** What a build tells while it goes on. */
export type BuildTold = BuildProgress | { warning: string };

export const build = (
  { version, refresh }: { version: string; refresh: boolean },
  { paths, signal, tell }: Acting,
) =>
  buildImage({
    ...{ paths, version, refresh, signal },
    onWarning: (warning) => tell({ warning } satisfies BuildTold),
    onProgress: (progress) => tell(progress satisfies BuildTold),
  });
