/** From a line of `journalctl --output=json` to a line of an instance. Pure. */
import { jsonIn } from '../../../../base/json.ts';
import { flat } from '../../../../base/line.ts';
import { messageText, severityOf } from '../../../../formats/journal.ts';
import { LOG_LIMITS, type LogLine } from '../../../../protocol/link/logs.ts';

/** @returns null: it is not an entry */
export function logLineOf(text: string): LogLine | null {
  const entry = jsonIn(text);
  if (typeof entry !== 'object' || entry === null) return null;
  const { __REALTIME_TIMESTAMP: micros, MESSAGE, PRIORITY, _PID } = entry as Record<string, unknown>;
  if (typeof micros !== 'string' || !/^\d{1,18}$/.test(micros)) return null;
  return {
    at: Math.floor(Number(micros) / 1000),
    severity: severityOf(PRIORITY),
    text: flat(messageText(MESSAGE), LOG_LIMITS.text),
    // Whose it is the journal asks of the kernel: nobody else is PID 1.
    byNode: _PID === '1',
  };
}
