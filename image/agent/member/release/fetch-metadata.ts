import { get } from 'node:http';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import type { FetchMetadata } from '../../../../keys/release/believe.ts';
import type { ReleaseMetadataCode } from '../../../../keys/release/refusals.ts';

const METADATA_PACE = {
  /**
   * Milliseconds for one file, from the request to its last byte: the files are small, and a slow server must not block
   * anything.
   */
  whole: 60_000,
} as const;

/**
 * Asks a boot server for release metadata over plain HTTP: it is trusted because of its signatures.
 * @param base URL of the folder
 * @returns a function that throws BootwaveError `RELEASE_METADATA_UNREACHABLE`, `RELEASE_METADATA_SLOW`,
 * `RELEASE_METADATA_OVERSIZED`
 */
export function metadataAt(
  base: string,
  signal: AbortSignal,
  pace: { whole: number } = METADATA_PACE,
): FetchMetadata {
  return (name, most) =>
    new Promise((resolve, reject) => {
      const pieces: Buffer[] = [];
      let size = 0;
      const fail = (code: ReleaseMetadataCode, what: string, next: string, cause?: unknown) =>
        reject(
          signal.aborted && (signal.reason as Error).name !== 'TimeoutError'
            ? signal.reason
            : new BootwaveError({ code, what, unchanged: 'no image was written', next, cause }),
        );
      const unreachable = (cause: unknown) =>
        fail(
          'RELEASE_METADATA_UNREACHABLE',
          `${name} cannot be fetched: ${messageOf(cause)}`,
          'try again when the boot server answers',
          cause,
        );
      const sent = get(
        `${base}/${name}`,
        { signal, agent: false, headers: { connection: 'close' } },
        (response) => {
          const { statusCode = 0 } = response;
          if (statusCode === 404) {
            response.destroy();
            return resolve(null);
          }
          if (statusCode !== 200) {
            response.destroy();
            return unreachable(new Error(`the boot server answers with HTTP ${statusCode}`));
          }
          response.on('data', (piece: Buffer) => {
            size += piece.length;
            pieces.push(piece);
            if (size <= most) return;
            fail(
              'RELEASE_METADATA_OVERSIZED',
              `${name} is larger than the ${most} bytes that it may have`,
              'find out what answers in the place of the boot server',
            );
            response.destroy();
          });
          response.on('end', () => resolve(Buffer.concat(pieces)));
          response.on('error', unreachable);
        },
      );
      sent.on('error', unreachable);
      const timer = setTimeout(() => {
        fail(
          'RELEASE_METADATA_SLOW',
          `${name} did not come within ${pace.whole / 1000} s`,
          'look at the network between this node and its boot server',
        );
        sent.destroy();
      }, pace.whole);
      sent.once('close', () => clearTimeout(timer));
    });
}
