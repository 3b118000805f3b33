/** What is read of a request before anything of it is believed: who it is from, and its body. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type * as z from 'zod/mini';
import { BootwaveError, refusal } from '../../base/error.ts';

/** Only a certificate that also chains to our root counts as shown. */
export function peerOf(request: FastifyRequest): X509Certificate | undefined {
  const socket = request.raw.socket as TLSSocket;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || socket.authorized) return certificate;
  // OpenSSL's error for a certificate whose dates are checked below, where the error code is clearer.
  if (String(socket.authorizationError) === 'CERT_HAS_EXPIRED') return certificate;
  throw new BootwaveError({
    code: 'CERTIFICATE_FOREIGN',
    what: `the client certificate does not hold (${String(socket.authorizationError)})`,
    next: 'enrol again',
  });
}

export function addressOf(request: FastifyRequest): string {
  return request.ip.replace(/^::ffff:/, '');
}

export function body<S extends z.ZodMiniType>(schema: S, request: FastifyRequest): z.output<S> {
  const result = schema.safeParse(request.body);
  if (result.success) return result.data;
  // A path may hold keys that the sender made up, and this sentence is printed on an operator's terminal.
  const where = result.error.issues
    .map((issue) => issue.path.join('.').replace(/[^\w.-]/g, '?') || '(whole)')
    .slice(0, 5);
  throw refusal(
    'BODY_INVALID',
    `the request does not fit the protocol at: ${where.join(', ').slice(0, 200)}`,
  );
}
