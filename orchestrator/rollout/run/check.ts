/** Gates that ask somebody else: a program on the orchestrator, a URL, Prometheus. */
import * as z from 'zod';
import { messageOf } from '../../../base/error.ts';
import { run } from '../../../base/run.ts';
import type { WaveGate } from '../gate.ts';

/** `away`: nobody answered, which says nothing of the fleet. */
export type Verdict = { ok: boolean; why: string; away?: boolean };

/** Never throws: a check that could not be made has not passed. */
export async function check(gate: WaveGate, signal: AbortSignal): Promise<Verdict> {
  try {
    switch (gate.kind) {
      case 'command':
        return await command(gate, signal);
      case 'http':
        return await http(gate, signal);
      case 'prometheus':
        return await prometheus(gate, signal);
      case 'manual':
        return { ok: false, why: 'only a person passes it' };
    }
  } catch (error) {
    return { ok: false, away: true, why: messageOf(error).slice(0, 256) };
  }
}

type Of<K extends WaveGate['kind']> = Extract<WaveGate, { kind: K }>;

async function command({ run: argv, timeout }: Of<'command'>, signal: AbortSignal): Promise<Verdict> {
  const [program = '', ...args] = argv;
  const { code, stdout, stderr } = await run(program, args, { timeout, signal });
  const words = (stderr.trim() || stdout.trim()).slice(-200).replace(/\s+/g, ' ');
  return { ok: code === 0, why: `exit code ${code}${words === '' ? '' : `: ${words}`}` };
}

async function http({ url, status, timeout }: Of<'http'>, signal: AbortSignal): Promise<Verdict> {
  const stop = AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
  const reply = await fetch(url, { signal: stop, redirect: 'manual' });
  await reply.body?.cancel();
  const ok = reply.status === status;
  // Of whoever stands in front of a server that is away (RFC 9110, 15.6.3 to 15.6.5).
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

async function prometheus(gate: Of<'prometheus'>, signal: AbortSignal): Promise<Verdict> {
  const url = new URL(`${gate.url.replace(/\/$/, '')}/api/v1/query`);
  url.searchParams.set('query', gate.query);
  const stop = AbortSignal.any([signal, AbortSignal.timeout(gate.timeout)]);
  const { data } = answer.parse(await (await fetch(url, { signal: stop })).json());
  const values = (
    data.resultType === 'scalar' ? [data.result[1]] : data.result.map(({ value }) => value[1])
  ).map(Number);
  // Nothing measured is no proof that all is well.
  if (values.length === 0) return { ok: false, why: 'the query gave no sample' };
  const bad = values.find((value) => !COMPARE[gate.is](value, gate.value));
  return bad === undefined
    ? { ok: true, why: `${values.length} samples ${gate.is} ${gate.value}` }
    : { ok: false, why: `a sample is ${bad}, wanted ${gate.is} ${gate.value}` };
}
