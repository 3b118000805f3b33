/** Keeps a signer until it is killed. Arguments: the data directory. */
import { createLogger } from '../../../base/log.ts';
import { dataPaths } from '../../../base/paths.ts';
import { keepSigner } from '../../../orchestrator/signer/child.ts';

const { signal } = new AbortController();
await keepSigner({ paths: dataPaths(process.argv[2]), log: createLogger('test', 'silent'), signal });
console.log('ready');
