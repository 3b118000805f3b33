/** A neighbour that serves one file at the port of mirrors, at a loopback address that no other test has. */
import { createServer } from 'node:http';
import type { ExecutionContext } from 'ava';
import { MIRROR } from '../../../../protocol/service/mirror.ts';

let last = 0;

export async function mirrorServer(t: ExecutionContext, content: Buffer) {
  last += 1;
  const address = `127.${1 + (process.pid % 250)}.${(process.pid >> 8) % 250}.${last}`;
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(MIRROR.port, address, resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address, asked };
}
