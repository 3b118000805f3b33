/** What the largest users can be asked for by. */
export const BY = ['cpu', 'memory', 'disk', 'network'] as const;
export type By = (typeof BY)[number];
