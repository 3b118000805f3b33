/** What systemd does with the unit of a command, on this machine: its streams are sockets, its line runs real crun, a stop kills all. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { RunResult } from '../../../../../../base/run.ts';

const said = (code: number, stdout = ''): RunResult => ({ code, stdout, stderr: '' });

/** @param within arguments of nsenter(1) */
export function systemd(units: string, within: readonly string[]) {
  const running = new Map<string, ChildProcess>();
  const failed = new Map<string, number>();
  return {
    running,
    async systemctl(verb: string, ...words: string[]): Promise<RunResult> {
      const unit = words.at(-1)!;
      if (verb === 'show')
        return said(0, `Result=exit-code\nExecMainCode=1\nExecMainStatus=${failed.get(unit)}\n`);
      if (verb === 'stop') {
        const { pid } = running.get(unit) ?? {};
        if (pid === undefined) return said(0);
        const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
        for (const one of [...children.trim().split(' ').map(Number), pid]) process.kill(one, 'SIGKILL');
        return said(0);
      }
      if (verb !== 'start') return said(0);
      const text = await readFile(join(units, unit), 'utf8');
      const line = /^ExecStart=(.*)$/m.exec(text)![1]!.split(' ');
      const streams = [...text.matchAll(/^Standard(?:Input|Output|Error)=file:(.*)$/gm)].map(([, path]) =>
        connect(path!),
      );
      await Promise.all(streams.map((socket) => once(socket, 'connect')));
      const child = spawn('nsenter', [...within, ...line], { stdio: streams });
      running.set(unit, child);
      for (const socket of streams) socket.destroy();
      const [code] = (await once(child, 'close')) as [number | null];
      running.delete(unit);
      failed.set(unit, code ?? 137);
      return said(code === 0 ? 0 : 1);
    },
  };
}
