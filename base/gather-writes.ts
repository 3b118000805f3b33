import type { Socket } from 'node:net';

/**
 * Makes everything that is written to a socket in one turn of the event loop leave in one system call. ssh2 writes each
 * packet in three parts (length, ciphertext, tag), ioredis writes each command alone, and in a busy turn the answers of
 * many nodes need one call each. Such small writes spend most of their time in the system calls, here and at the other
 * end.
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
  // Without gathering, what was written before would already have been sent.
  socket.destroy = (error) => {
    if (gathers) socket.uncork();
    return destroy.call(socket, error);
  };
  return socket;
}
