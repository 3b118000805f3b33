/** What a simulated node answers whoever asks it about its services. */
import type { LinkHandlers } from '../../image/agent/member/link/handlers.ts';
import type { ArgsOf, OpName, ResultOf } from '../../protocol/link/messages.ts';
import { SimFlows } from './flows.ts';
import { refusal } from './release.ts';
import type { SimServices } from './services.ts';
import { simUsage } from './usage.ts';

export type Asked = {
  number: number;
  /** Whether its image knows services. */
  knows: boolean;
  /** `at`: milliseconds since then. */
  boot(): { bootId: string; at: number };
  services(): ReturnType<SimServices['status']>;
};

export function askedAboutServices({
  number,
  knows,
  boot,
  services,
}: Asked): Pick<LinkHandlers, 'usage' | 'flows' | 'logs' | 'exec' | 'exec-read' | 'exec-write'> {
  const flows = new SimFlows();
  /** What knows no services is from before it could be asked that. */
  const known = (op: OpName) => {
    if (!knows) throw refusal('LINK_OP_UNKNOWN', `this image knows no operation ${op}`);
    return boot();
  };
  /** An instance has said that it runs. */
  const logs = ({ name }: ArgsOf<'logs'>): ResultOf<'logs'> => {
    known('logs');
    const one = services().find((service) => service.name === name);
    const text = `${name} ${one?.version} runs (simulated)`;
    const lines = one?.since == null ? [] : [{ at: one.since, severity: 6, text, byNode: false }];
    return { lines, more: false };
  };
  const runsNothing = (op: OpName): never => {
    known(op);
    throw refusal(
      'EXEC_SIMULATED',
      'this node is simulated: there is nothing in which a command could run',
      'try it on a node of the lab (docs/lab.md), or of the fleet',
    );
  };
  return {
    usage: () => ({ ...simUsage(number, known('usage'), services()), clock: Date.now() }),
    flows: (args) => flows.answer(number, known('flows'), services(), args),
    logs,
    exec: () => runsNothing('exec'),
    'exec-read': () => runsNothing('exec-read'),
    'exec-write': () => runsNothing('exec-write'),
  };
}
