import { readFile } from 'node:fs/promises';

/**
 * Seconds that a process, the children that it has waited for and those that still run have used: what a busy machine
 * changes least.
 */
export async function processorSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  // utime, stime, cutime, cstime (proc(5)), in hundredths of a second.
  const own = fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100;
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
  let all = own;
  for (const child of children) if (child !== '') all += await processorSeconds(Number(child));
  return all;
}
