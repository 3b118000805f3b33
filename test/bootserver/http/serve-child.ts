/** `serve-child.ts IMAGES`: serves on the listening socket that it inherits as descriptor 3, until it is killed. */
import { createLogger } from '../../../base/log.ts';
import { startHttp } from '../../../bootserver/http/server.ts';

const images = process.argv[2] ?? '';
await startHttp({
  listen: { fd: 3 },
  images,
  loaders: images,
  script: async () => undefined,
  log: createLogger('http-child', 'silent'),
});
