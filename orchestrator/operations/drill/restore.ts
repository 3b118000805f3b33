import { drillRestore, type RestoreDrill } from '../../backup/drill.ts';
import { checkKeyFiles } from '../../doctor/key-files.ts';
import { checkReleases } from '../../doctor/releases.ts';
import type { Report } from '../../recovery/report.ts';
import type { Acting } from '../operation.ts';
import { serveAlone } from './serve.ts';

type From = Pick<RestoreDrill, 'from' | 'fleet' | 'after'> & { key: string };

/** @throws BootwaveError `DRILL_RUNNING`, `DRILL_SCRATCH` */
export const drill = (
  { key: identity, ...from }: From,
  { paths, by, log, signal }: Acting,
): Promise<Report> =>
  drillRestore({
    ...{ ...from, identity, paths, by, log, now: Date.now },
    look: async (there) => {
      const checks = [await checkKeyFiles(there.keys), await checkReleases(there)];
      return checks.flatMap(({ name, status, detail }) => (status === 'fail' ? [`${name}: ${detail}`] : []));
    },
    serve: (there) => serveAlone(there, signal),
  });
