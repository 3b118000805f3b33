/** One line of the doctor's report. */
export type Check = {
  /** What was looked at, e.g. `interface eth1`. Stable: scripts pick checks by it. */
  name: string;
  /** `fail`: Bootwave cannot work like this. `warn`: it can, but someone should know. */
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  /** What to do; absent when all is well. */
  next?: string;
};

export const ok = (name: string, detail: string): Check => ({ name, status: 'ok', detail });
export const warn = (name: string, detail: string, next: string): Check => ({
  name,
  status: 'warn',
  detail,
  next,
});
export const fail = (name: string, detail: string, next: string): Check => ({
  name,
  status: 'fail',
  detail,
  next,
});
