import type { LinkLog } from './link/server.ts';

/** One line per message to standard error, which is the journal; its own texts contain no secret. */
const say = (level: string) => (fields: object, message: string) => {
  console.error(`bootwave-agent: ${level}: ${message} ${JSON.stringify(fields, plainErrors)}`);
};

const plainErrors = (_: string, value: unknown) => (value instanceof Error ? value.message : value);

export const journal: LinkLog = { info: say('info'), warn: say('warning') };
