import type { X509Certificate } from 'node:crypto';
import type { Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { refusal } from '../../base/error.ts';
import { sha256 } from '../../formats/digest.ts';
import { NODE_URI } from '../../protocol/enrolment/messages.ts';
import type { NodeDirectory } from '../directory.ts';
import { withSubject } from './dialogue.ts';

/** The machine that asks to be let in: what is known of it. */
export type Bearer = {
  /** Id of its record. */
  id?: string | null;
  /** Serial number of its certificate, lower-case hex. */
  serial?: string;
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  key?: string;
};

/** Who is banned, answered from memory: this is asked at every request. */
export interface BanList {
  /** Null: not banned. */
  banOf(bearer: Bearer): { id: string; reason: string } | null;
  /** `listener` is called when a ban is new; the ban is already in force then. */
  onBan(listener: () => void): void;
}

export const NOBODY_BANNED: BanList = { banOf: () => null, onBan: () => {} };

/** The node that a certificate names, whether or not the certificate is valid. */
function bearerOf(certificate: X509Certificate): Required<Bearer> {
  const uri = /^URI:(\S+)$/.exec(certificate.subjectAltName ?? '')?.[1];
  return {
    id: uri?.startsWith(NODE_URI) === true ? uri.slice(NODE_URI.length) : null,
    serial: certificate.serialNumber.toLowerCase(),
    key: sha256(certificate.publicKey.export({ type: 'spki', format: 'der' })).toString('hex'),
  };
}

/**
 * Refuses every request that shows a banned certificate, and cuts the connections that are open when a ban comes. A
 * later connection gets an answer, so that the machine's console can show why.
 */
export function refuseBanned(
  app: FastifyInstance<Server>,
  bans: BanList,
  caught: NodeDirectory['caught'],
): void {
  const bearers = new Map<TLSSocket, Required<Bearer>>();
  app.server.on('secureConnection', (socket) => {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return;
    bearers.set(socket, bearerOf(certificate));
    socket.once('close', () => bearers.delete(socket));
  });
  bans.onBan(() => {
    for (const [socket, bearer] of bearers) if (bans.banOf(bearer) !== null) socket.destroy();
  });
  app.addHook('onRequest', async (request, reply) => {
    const bearer = bearers.get(request.raw.socket as TLSSocket);
    const ban = bearer === undefined ? null : bans.banOf(bearer);
    if (bearer === undefined || ban === null) return;
    reply.header('connection', 'close');
    const error = refusal('CERTIFICATE_BANNED', `this certificate is banned: ${ban.reason}`);
    // Anybody can write the name of a node, and a banned number, into a certificate of their own.
    if (bearer.id !== null && (request.raw.socket as TLSSocket).authorized)
      caught(bearer.id, error.code, error.what, bearer.key);
    throw withSubject(error, bearer.id);
  });
}
