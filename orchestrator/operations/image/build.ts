import { defined } from '../../../base/defined.ts';
import { buildImage } from '../../../image/build/build.ts';
import type { BuildProgress } from '../../../image/build/progress.ts';
import type { Acting } from '../operation.ts';

/** What a build tells while it goes on. */
export type BuildTold = BuildProgress | { warning: string };

export const build = (
  {
    version,
    refresh,
    barrier,
    minSource,
  }: { version: string; refresh: boolean; barrier?: boolean | undefined; minSource?: string | undefined },
  { paths, signal, tell }: Acting,
) =>
  buildImage({
    ...{ paths, version, refresh, signal },
    way: { ...(barrier === true && { barrier }), ...defined({ minSource }) },
    onWarning: (warning) => tell({ warning } satisfies BuildTold),
    onProgress: (progress) => tell(progress satisfies BuildTold),
  });
