/** Boards behind a unix socket, by name: what the program of `ipmi_sim` asks and tells. */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { Board } from './board.ts';

export async function serveBoards(path: string, boards: ReadonlyMap<string, Board>): Promise<Server> {
  const server = createServer((request, response) => {
    const board = boards.get((request.url ?? '/').slice(1));
    let words = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      words += text;
    });
    request.on('end', async () => {
      const answer = board === undefined ? '' : await control(board, words.split(' ')).catch(() => '');
      response.end(answer);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}

/** `get power boot`, or `set power 1 boot pxe`. */
async function control(board: Board, [verb, ...words]: readonly string[]): Promise<string> {
  if (verb === 'get') {
    const lines = words.map(async (word) => {
      if (word === 'power') return `power:${(await board.isOn()) ? 1 : 0}\n`;
      return word === 'boot' ? `boot:${BOOT[board.next ?? 'none']}\n` : '';
    });
    return (await Promise.all(lines)).join('');
  }
  for (let i = 0; verb === 'set' && i < words.length; i += 2) {
    const [what, value] = [words[i], words[i + 1]];
    if (what === 'power') value === '1' ? board.on() : board.off();
    else if (what === 'reset') board.reset();
    else if (what === 'shutdown') board.off();
    else if (what === 'boot') board.next = value === 'pxe' ? 'network' : value === 'default' ? 'disk' : null;
  }
  return '';
}

/** As `ipmi_sim` calls them. */
const BOOT = { network: 'pxe', disk: 'default', none: 'none' } as const;
