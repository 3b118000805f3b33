/**
 * The privileged half of the agent: systemd starts it for one connection (bootwave-helper.socket, bootwave-disk.socket),
 * it does one thing of the closed list that its command line names, as root, answers and ends.
 */
import { HELPER_LISTS } from './operation-lists.ts';
import { serve } from './serve.ts';

await serve(HELPER_LISTS[process.argv[2] ?? '']);
