import { InvalidArgumentError } from 'commander';
import { BootwaveError, messageOf } from '../base/error.ts';
import { jsonText, onTerminal } from './context.ts';
import { ofTheSystem, whenReaderLeaves } from './outside.ts';
import { program } from './program.ts';

/** Exit codes: 0 done, 1 refused or failed with a coded error, 2 the command line itself was wrong. */
async function main(argv: string[]): Promise<number> {
  const wantsJson = argv.includes('--json');
  try {
    await (await program(argv.slice(2))).parseAsync(argv);
    return Number(process.exitCode ?? 0);
  } catch (raw) {
    const error = ofTheSystem(raw, argv.slice(2)) ?? raw;
    if (
      error instanceof Error &&
      'exitCode' in error &&
      'code' in error &&
      String(error.code).startsWith('commander.')
    ) {
      // What an action throws nobody has said yet.
      if (error instanceof InvalidArgumentError) console.error(onTerminal(`error: ${error.message}`));
      return error.exitCode === 0 ? 0 : 2;
    }
    if (error instanceof BootwaveError) {
      if (wantsJson) console.log(jsonText({ error: error.toJSON() }));
      else {
        console.error(onTerminal(`bootwave: ${error.what} [${error.code}]`));
        if (error.unchanged !== undefined) console.error(onTerminal(`  unchanged: ${error.unchanged}`));
        if (error.next !== undefined) console.error(onTerminal(`  next: ${error.next}`));
      }
      return 1;
    }
    const unknown = { code: 'UNEXPECTED', what: messageOf(error) };
    if (wantsJson) console.log(jsonText({ error: unknown }));
    else {
      const stack = error instanceof Error ? error.stack : '';
      console.error(onTerminal(`bootwave: ${unknown.what} [UNEXPECTED]\n${stack}`));
    }
    return 1;
  }
}

whenReaderLeaves(process.stdout, process.stderr);

process.exitCode = await main(process.argv);
