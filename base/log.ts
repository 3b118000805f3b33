import { type DestinationStream, type Logger, pino } from 'pino';
import { refusal } from './error.ts';

export type { Logger };

/** Fields that pino writes into every line itself. */
const OURS = ['level', 'time', 'pid', 'hostname', 'name', 'msg'];

/**
 * A field with such a name would be in the line twice. JSON readers keep one of the two, most of them the wrong one. A
 * child's `pid` becomes `itsPid`.
 */
function renamed(fields: Record<string, unknown>): Record<string, unknown> {
  if (!OURS.some((name) => name in fields)) return fields;
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      OURS.includes(name) ? `its${name.charAt(0).toUpperCase()}${name.slice(1)}` : name,
      value,
    ]),
  );
}

/** What `BOOTWAVE_LOG` may say. */
const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/**
 * `BOOTWAVE_LOG`.
 * @param usual the level when it is not set, or empty
 * @throws BootwaveError `LOG_LEVEL`
 */
export function logLevel(usual = 'info'): string {
  const level = process.env.BOOTWAVE_LOG || usual;
  if (LEVELS.includes(level)) return level;
  throw refusal(
    'LOG_LEVEL',
    `BOOTWAVE_LOG is ${JSON.stringify(level)}`,
    `set it to one of ${LEVELS.join(', ')}`,
  );
}

/**
 * JSON lines on standard error. Paths listed below never reach the log, whatever object a caller hands over.
 * @throws BootwaveError `LOG_LEVEL`
 */
export function createLogger(
  name: string,
  level = logLevel(),
  to: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger {
  return pino(
    {
      name,
      level,
      formatters: { log: renamed },
      redact: {
        paths: ['*.key', '*.privateKey', '*.token', '*.password', '*.secret', 'token'],
        censor: '[kept out]',
      },
    },
    to,
  );
}
