import type { Socket } from 'node:net';

/**
 * Has everything that is written to a socket in one turn of the event loop leave in one call of the system, as one piece.
 * ssh2 writes each packet in three (length, ciphertext, tag), ioredis each command on its own, and in a busy turn many
 * nodes' answers ask for one each: most of the time of such small writes goes into the calls, here and at the other end.
 */
export function gatherWrites(socket: Socket): Socket {
  const { write, destroy } = socket;
  let gathers = false;
  const release = () => {
    gathers = false;
    socket.uncork();
  };
  socket.write = ((...args: Parameters<Socket['write']>) => {
    if (!gathers) {
      gathers = true;
      socket.cork();
      setImmediate(release);
    }
    return write.apply(socket, args);
  }) as Socket['write'];
  // What was written before would have been on its way.
  socket.destroy = (error) => {
    if (gathers) socket.uncork();
    return destroy.call(socket, error);
  };
  return socket;
}
