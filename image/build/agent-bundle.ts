import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { BootwaveError } from '../../base/error.ts';
import { REPOSITORY } from './cache.ts';

/** Source below the agent's folder -> name below /usr/lib/bootwave. */
const ENTRIES = {
  'member/main.ts': 'agent.mjs',
  'root/main.ts': 'helper.mjs',
  'root/services/main.ts': 'services.mjs',
  'root/services/exec/main.ts': 'exec.mjs',
  'log-forward/main.ts': 'log-forward.mjs',
} as const;

/**
 * Bundles the agent and its privileged helper, each into one file that needs nothing but Node.
 * @param agent the folder of their sources
 * @returns name below /usr/lib/bootwave -> content; the same sources give the same bytes on any machine
 * @throws BootwaveError `AGENT_BUNDLE_FAILED`
 */
export async function bundleAgent(agent: string): Promise<Map<string, Uint8Array>> {
  const bundles = new Map<string, Uint8Array>();
  for (const [source, name] of Object.entries(ENTRIES)) {
    const entry = join(agent, source);
    try {
      await stat(entry);
      const result = await build({
        entryPoints: [entry],
        bundle: true,
        write: false,
        platform: 'node',
        format: 'esm',
        target: 'node24',
        // Names are kept, so that a stack trace from a node can be read; everything else would only cost time at every
        // boot.
        minifyWhitespace: true,
        minifySyntax: true,
        legalComments: 'none',
        absWorkingDir: REPOSITORY,
        logLevel: 'silent',
        // CommonJS dependencies ask for Node's own modules by require, which a module file does not have.
        banner: { js: `import{createRequire as $r}from'node:module';const require=$r(import.meta.url);` },
      });
      bundles.set(name, result.outputFiles[0]!.contents);
    } catch (cause) {
      throw new BootwaveError({
        code: 'AGENT_BUNDLE_FAILED',
        what: `the agent's ${source} could not be bundled: ${cause instanceof Error ? cause.message : String(cause)}`,
        unchanged: 'nothing was published',
        next: "run 'make check'; it names the mistake",
        cause,
      });
    }
  }
  return bundles;
}
