import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { BootServer } from '../../../../image/agent/member/boot-server.ts';
import { certificateRequest } from '../../../../image/agent/member/certificate-request.ts';
import type { NodeFacts } from '../../../../image/agent/member/enrolment.ts';
import type { AskHelper } from '../../../../image/agent/member/helper-client.ts';
import { makeHostKey } from '../../../../image/agent/root/host-key.ts';
import { type HelperPlaces, OPERATIONS } from '../../../../image/agent/root/operations.ts';
import { Tpm } from '../../../../image/agent/root/tpm.ts';
import { extraData } from '../../../../protocol/enrolment/extra-data.ts';
import type { Inventory, Running } from '../../../../protocol/enrolment/inventory.ts';
import {
  type KeysReply,
  type KeysRequest,
  keysReply,
  PATHS,
  type ProofRequest,
  startReply,
} from '../../../../protocol/enrolment/messages.ts';
import type { SoftwareTpm } from './swtpm.ts';

export const RUNNING: Running = { version: '1.0.0', kernel: '6.1.0', bootId: 'b' };

export const INVENTORY: Inventory = {
  uuid: '6a1b0c9e-0000-4000-8000-000000000001',
  manufacturer: 'Bootwave test',
  product: 'Box',
  serial: 'S1',
  firmware: { kind: 'uefi', vendor: 'EDK II', version: '1', date: '01/01/2026' },
  secureBoot: 'on',
  cpu: { model: 'test', threads: 2 },
  memory: 2 ** 31,
  nics: [{ name: 'eth0', mac: '52:54:00:00:00:01', driver: 'virtio_net', speed: null }],
  disks: [{ name: 'vda', size: 2 ** 33, model: '', serial: '', rotational: false }],
  tpm: null,
};

export function makeKey(): { key: KeyObject; csr: Buffer } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { key: privateKey, csr: certificateRequest(privateKey, 'test') };
}

/** One step of the protocol at a time, so that a test can bend any of them. */
export class Wire {
  readonly server: BootServer;

  constructor(url: string, root: string, credentials?: { key: string; chain: string }) {
    this.server = new BootServer(url, root, credentials);
  }

  start() {
    return this.server.post(PATHS.start, {}, startReply);
  }

  keys(request: KeysRequest) {
    return this.server.post(PATHS.keys, request, keysReply);
  }

  send(path: string, body: unknown) {
    return this.server.post(path, body, z.any());
  }

  close(): void {
    this.server.close();
  }
}

/** What a session holds once the keys are fixed. */
export type Opened = { session: string } & KeysReply;

type TpmWork = {
  quote(extra: Buffer): Promise<NonNullable<ProofRequest['quote']>>;
  activate(credential: NonNullable<KeysReply['credential']>): Promise<string>;
};

/** What an honest machine sends in a session. */
export class HonestNode {
  readonly tpm: KeysRequest['tpm'];
  readonly work: TpmWork | null;
  readonly hostKey = makeHostKey().line;
  readonly inventory: Inventory;
  key: KeyObject;
  csr: Buffer;

  constructor(tpm: HonestNode['tpm'], work: TpmWork | null) {
    this.tpm = tpm;
    this.work = work;
    this.inventory = INVENTORY;
    ({ key: this.key, csr: this.csr } = makeKey());
  }

  static async withTpm(folder: string, software: SoftwareTpm): Promise<HonestNode> {
    const tpm = new Tpm(join(folder, 'work'), software.environment);
    const { ek, ekCertificate, ak } = await software.exclusive(() => tpm.identify());
    return new HonestNode(
      {
        ek: ek.toString('base64'),
        ekCertificate: ekCertificate?.toString('base64') ?? null,
        ak: ak.toString('base64'),
      },
      {
        async quote(extra) {
          const { attest, signature, pcrs } = await software.exclusive(() => tpm.quote(extra));
          return { attest: attest.toString('base64'), signature: signature.toString('base64'), pcrs };
        },
        async activate({ blob, seed }) {
          const bytes = [Buffer.from(blob, 'base64'), Buffer.from(seed, 'base64')] as const;
          return (await software.exclusive(() => tpm.activate(...bytes))).toString('hex');
        },
      },
    );
  }

  keysRequest(session: string): KeysRequest {
    return {
      session,
      tpm: this.tpm,
      csr: this.csr.toString('base64'),
      hostKey: this.hostKey,
      inventory: this.inventory,
      running: RUNNING,
      token: null,
    };
  }

  async proofRequest({ session, nonce, credential }: Opened): Promise<ProofRequest> {
    const message = extraData(Buffer.from(nonce, 'hex'), this.csr, this.hostKey);
    if (this.work === null || credential === null) {
      const signature = sign('sha256', message, this.key).toString('base64');
      return { session, secret: null, quote: null, signature };
    }
    const secret = await this.work.activate(credential);
    return { session, secret, quote: await this.work.quote(message), signature: null };
  }
}

/** The helper's real operations without systemd between: same code, a software TPM, no restart of the test machine. */
export function helperOn(
  folder: string,
  software: SoftwareTpm | null,
): { askHelper: AskHelper; facts: () => Promise<NodeFacts>; installed: number } {
  const places: HelperPlaces = {
    sys: join(folder, 'sys'),
    efivars: join(folder, 'efivars'),
    fleet: join(folder, 'fleet'),
    run: join(folder, 'run'),
    environment: software?.environment ?? { ...process.env, TPM2TOOLS_TCTI: '' },
  };
  const state = { installed: 0 };
  const askHelper: AskHelper = async (request) => {
    if (request.operation === 'install-host-key') {
      state.installed += 1;
      return { started: true } as never;
    }
    const work = async () => (await OPERATIONS[request.operation](request as never, places)) as never;
    return software === null ? work() : software.exclusive(work);
  };
  const facts = async () => {
    const identity = await askHelper({ operation: 'identify' });
    const { cpu, memory, nics, disks } = INVENTORY;
    return { identity, hardware: { cpu, memory, nics, disks }, running: RUNNING };
  };
  return {
    askHelper,
    facts,
    get installed() {
      return state.installed;
    },
  };
}
