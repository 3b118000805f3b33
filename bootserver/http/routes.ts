/** Everything that the HTTP server serves; all other paths are 404. */
import type { Asked, Route } from './route.ts';
import { bundle } from './serve-bundle.ts';
import { crl } from './serve-crl.ts';
import { image, initrd, linux, target, update } from './serve-image.ts';
import { loader } from './serve-loader.ts';
import { metadata } from './serve-metadata.ts';
import { script } from './serve-script.ts';

/** Dashes or colons; a version's own form is checked by the image store, which compares it with what is published. */
const PARAMETERS = {
  mac: '[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})',
  version: '[A-Za-z0-9._~-]{1,64}',
  name: '[^/]{1,255}',
  digest: '[0-9a-f]{64}',
};

export const ROUTES: readonly Route[] = [
  route('/m/:mac/boot.ipxe', script),
  route('/m/:mac/bootwave_:version.efi', image),
  route('/m/:mac/:version/linux', linux),
  route('/m/:mac/:version/initrd', initrd),
  route('/images/bootwave_:version.efi', update),
  // A repository of The Update Framework (1.0.34, 6.2), for any client that speaks it.
  route('/images/:digest.bootwave_:version.efi', target),
  route('/images/metadata/:name', metadata),
  route('/bundles/:digest', bundle),
  route('/loaders/:name', loader),
  route('/crl/nodes.crl', crl),
];

/** The scheme and the authority of absolute-form; what follows them is read like origin-form. */
const AUTHORITY = /^https?:\/\/[^/?]*/i;

/**
 * @param target of the request line: a path with an optional query (RFC 9112 section 3.2.1), or the absolute form
 * that every server must accept (3.2.2). The host name in it is ignored: only one site is served here.
 */
export function find(
  routes: readonly Route[],
  target: string,
  address: string,
): { route: Route; asked: Asked } | undefined {
  const [path = '', query = ''] = target.replace(AUTHORITY, '').split('?', 2);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  for (const route of routes) {
    const found = route.pattern.exec(decoded);
    if (found === null) continue;
    const { mac = '', version = '', name = '', digest = '' } = found.groups ?? {};
    const asked = { mac: mac.toLowerCase().replaceAll('-', ':'), version, name, digest, address };
    return { route, asked: { ...asked, query: new URLSearchParams(query) } };
  }
  return undefined;
}

function route(path: string, serve: Route['serve']): Route {
  const source = path.replaceAll('.', '\\.').replace(/:(mac|version|name|digest)/g, (_, name: string) => {
    return `(?<${name}>${PARAMETERS[name as keyof typeof PARAMETERS]})`;
  });
  return { pattern: new RegExp(`^${source}$`), serve };
}
