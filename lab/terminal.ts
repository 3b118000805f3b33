/** A person's terminal on a node's serial line. */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { BootwaveError } from '../base/error.ts';

/** Ctrl-], as telnet has it: no boot menu uses it. */
const LEAVE = 0x1d;
/** Bytes of what came before, so that a screen at rest shows something. */
const CONTEXT = 4096;

/** Resolves when the person leaves with Ctrl-] or the node goes off. */
export async function attachTerminal(socketPath: string, logPath: string): Promise<'left' | 'off'> {
  const { stdin, stdout } = process;
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
  const type = (bytes: Buffer) => {
    if (bytes.includes(LEAVE)) end.resolve('left');
    else socket.write(bytes);
  };
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', type);
  try {
    return await end.promise;
  } finally {
    stdin.off('data', type);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    socket.destroy();
  }
}
