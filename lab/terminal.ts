/** A person's terminal on a node's serial line. */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { BootwaveError } from '../base/error.ts';
import { onKeys } from '../base/keyboard.ts';

/** Bytes of what came before, so that a screen at rest shows something. */
const CONTEXT = 4096;

/** Resolves when the person leaves with Ctrl-] or the node goes off. */
export async function attachTerminal(socketPath: string, logPath: string): Promise<'left' | 'off'> {
  const { stdout } = process;
  const before = await readFile(logPath).catch(() => Buffer.alloc(0));
  const socket = connect(socketPath);
  const end = Promise.withResolvers<'left' | 'off'>();
  socket.on('error', (cause) => {
    end.reject(
      new BootwaveError({
        code: 'LAB_NODE_OFF',
        what: 'the node is off, so its console does not answer',
        next: `switch it on with 'bootwave lab power on', or read its log with --log`,
        cause,
      }),
    );
  });
  socket.on('close', () => end.resolve('off'));
  socket.on('connect', () => stdout.write(before.subarray(-CONTEXT)));
  socket.on('data', (bytes) => stdout.write(bytes));
  const undo = onKeys(
    (bytes) => socket.write(bytes),
    () => end.resolve('left'),
  );
  try {
    return await end.promise;
  } finally {
    undo();
    socket.destroy();
  }
}
