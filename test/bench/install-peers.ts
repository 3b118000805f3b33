import { messageOf } from '../../base/error.ts';
import { mustRun, run } from '../../base/run.ts';

/**
 * Programs that only a comparison needs, so `make setup` leaves them out.
 * @param peers program -> Debian's package
 * @returns why they are not there; null when they are
 */
export async function installPeers(peers: Readonly<Record<string, string>>): Promise<string | null> {
  const missing: string[] = [];
  for (const [program, name] of Object.entries(peers)) {
    if ((await run('sh', ['-c', `command -v ${program}`])).code !== 0) missing.push(name);
  }
  if (missing.length === 0) return null;
  console.log(`installing ${missing.join(' and ')} from Debian, which only this comparison needs`);
  // Without a runlevel no service of theirs is started.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  try {
    await mustRun('apt-get', ['update', '-qq'], { env });
    await mustRun('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], { env });
    return null;
  } catch (error) {
    return `apt-get could not install ${missing.join(' and ')}: ${messageOf(error)}`;
  }
}
