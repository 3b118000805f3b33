import { type Logger, pino } from 'pino';

export type { Logger };

/**
 * JSON lines on standard error. `BOOTWAVE_LOG` sets the level (trace, debug, info, warn, error, silent). Paths listed
 * below never reach the log, whatever object a caller hands over.
 */
export function createLogger(name: string, level = process.env.BOOTWAVE_LOG ?? 'info'): Logger {
  return pino(
    {
      name,
      level,
      redact: {
        paths: ['*.key', '*.privateKey', '*.token', '*.password', '*.secret', 'token'],
        censor: '[kept out]',
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
