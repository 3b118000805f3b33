/** Gates that ask an outside check: a program on the orchestrator, a URL, Prometheus. */
import type { Redis } from 'ioredis';
import * as z from 'zod';
import { BootwaveError, messageOf } from '../../../base/error.ts';
import { run } from '../../../base/run.ts';
import type { Command } from '../event.ts';
import type { WaveGate } from '../gate.ts';
import type { WaveRecord } from '../record.ts';
import { waveGates } from '../wave.ts';
import { disagreement } from './decided.ts';
import { type DeclaredGate, readDeclaration } from './declared-gate.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { readSetup } from './stored.ts';

/** Milliseconds that one answer may take at the most, whatever a rollout says. */
const LONGEST = 600_000;

/** `away`: no answer, which says nothing about the fleet. */
export type Verdict = { ok: boolean; why: string; away?: boolean };

/** All that its job says. */
export type AskedGate = Pick<Extract<Command, { kind: 'gate' }>, 'rollout' | 'wave' | 'gate' | 'run'>;

/**
 * What a job asks for, by the rollout that was decided: whoever writes jobs in Redis says neither what is asked nor when.
 * @returns null: its wave does not wait for it, or nobody has started such a rollout
 * @throws BootwaveError `ROLLOUT_UNKNOWN`
 */
export async function wantedGate(
  redis: Redis,
  { rollout, wave, gate, run }: AskedGate,
): Promise<WaveGate | null> {
  const [{ setup, digest }, [record]] = await Promise.all([
    readSetup(redis, rollout),
    redis.hmget(ROLLOUT_KEYS.wave(rollout, wave), 'body'),
  ]);
  if ((await disagreement(redis, rollout, digest)) !== null) return null;
  const known = record == null ? null : (JSON.parse(record) as WaveRecord);
  if (known?.state !== 'gated' || known.gate !== gate || known.run !== run) return null;
  return waveGates({ setup }, wave)[gate] ?? null;
}

/**
 * Never throws: a check that could not be made has not passed.
 * @param gate as stored in the records, so it may be anything
 * @param folder of the declarations
 */
export async function check(gate: WaveGate, folder: string, signal: AbortSignal): Promise<Verdict> {
  try {
    if (gate.kind === 'manual') return { ok: false, why: 'only a person passes it' };
    if (typeof gate.name !== 'string')
      return { ok: false, why: 'its rollout is older than declared gates: plan it again' };
    return await ask(
      await readDeclaration(folder, gate.name, process.getuid?.() ?? 0),
      Math.min(gate.timeout, LONGEST),
      signal,
    );
  } catch (error) {
    // A declaration that is missing or not trustworthy is an answer; a server that does not answer is none.
    if (error instanceof BootwaveError)
      return { ok: false, why: `${error.code}: ${error.what}`.slice(0, 256) };
    return { ok: false, away: true, why: messageOf(error).slice(0, 256) };
  }
}

function ask(gate: DeclaredGate, timeout: number, signal: AbortSignal): Promise<Verdict> {
  switch (gate.kind) {
    case 'command':
      return command(gate, timeout, signal);
    case 'http':
      return http(gate, timeout, signal);
    case 'prometheus':
      return prometheus(gate, timeout, signal);
  }
}

type Of<K extends DeclaredGate['kind']> = Extract<DeclaredGate, { kind: K }>;

/** Debian's `nobody`. It owns nothing, so it reads no key and opens no socket of ours. */
const NOBODY = '65534';

/**
 * The program runs as nobody, with no capability and no way to one, in namespaces of its own: it sees no other process, has
 * no network unless that is declared, and its children end with it.
 */
async function command(
  { run: argv, network }: Of<'command'>,
  timeout: number,
  signal: AbortSignal,
): Promise<Verdict> {
  const apart = [
    '--ipc',
    '--uts',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    ...(network ? [] : ['--net']),
  ];
  const rights = [
    '--reuid',
    NOBODY,
    '--regid',
    NOBODY,
    '--clear-groups',
    '--no-new-privs',
    // Set here and not by unshare: its own setting does not survive the change of user.
    '--pdeathsig',
    'KILL',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ];
  const { code, stdout, stderr } = await run('unshare', [...apart, 'setpriv', ...rights, '--', ...argv], {
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
    keep: 4096,
    timeout,
    signal,
  });
  const words = (stderr.trim() || stdout.trim()).slice(-200).replace(/\s+/g, ' ');
  // As shells have it (POSIX, 2.8.2): there is no such program, or it may not be run.
  const away = code === 126 || code === 127;
  const why = `exit code ${code}${words === '' ? '' : `: ${words}`}`;
  return away ? { ok: false, away, why } : { ok: code === 0, why };
}

async function http({ url, status }: Of<'http'>, timeout: number, signal: AbortSignal): Promise<Verdict> {
  const stop = AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
  const reply = await fetch(url, { signal: stop, redirect: 'manual' });
  await reply.body?.cancel();
  const ok = reply.status === status;
  // Status codes of a proxy in front of a server that is down (RFC 9110, 15.6.3 to 15.6.5).
  const away = !ok && [502, 503, 504].includes(reply.status);
  const why = `answered ${reply.status}, wanted ${status}`;
  return away ? { ok, away, why } : { ok, why };
}

/** Instant query of the Prometheus HTTP API; a scalar or a vector. */
const answer = z.object({
  status: z.literal('success'),
  data: z.discriminatedUnion('resultType', [
    z.object({ resultType: z.literal('scalar'), result: z.tuple([z.number(), z.string()]) }),
    z.object({
      resultType: z.literal('vector'),
      result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })),
    }),
  ]),
});

const COMPARE: Record<Of<'prometheus'>['is'], (a: number, b: number) => boolean> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '==': (a, b) => a === b,
  '>=': (a, b) => a >= b,
  '>': (a, b) => a > b,
};

async function prometheus(gate: Of<'prometheus'>, timeout: number, signal: AbortSignal): Promise<Verdict> {
  const url = new URL(`${gate.url.replace(/\/$/, '')}/api/v1/query`);
  url.searchParams.set('query', gate.query);
  const stop = AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
  const { data } = answer.parse(await (await fetch(url, { signal: stop, redirect: 'error' })).json());
  const values = (
    data.resultType === 'scalar' ? [data.result[1]] : data.result.map(({ value }) => value[1])
  ).map(Number);
  // No measured value does not prove that all is well.
  if (values.length === 0) return { ok: false, why: 'the query gave no sample' };
  const bad = values.find((value) => !COMPARE[gate.is](value, gate.value));
  return bad === undefined
    ? { ok: true, why: `${values.length} samples ${gate.is} ${gate.value}` }
    : { ok: false, why: `a sample is ${bad}, wanted ${gate.is} ${gate.value}` };
}
