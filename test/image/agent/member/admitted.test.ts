import test from 'ava';
import { Admitted } from '../../../../image/agent/member/admitted.ts';

test('a boot server that answers is let in once; what failed is tried at the next heartbeat', async (t) => {
  const asked: string[] = [];
  let broken = true;
  const admitted = new Admitted(async (address) => {
    asked.push(address);
    if (broken) throw new Error('no');
  });
  await admitted.take('https://127.0.0.1:7443');
  broken = false;
  await admitted.take('https://127.0.0.1:7443');
  await admitted.take('https://127.0.0.1:7443');
  await admitted.take('https://127.0.0.2:7443');
  t.deepEqual(asked, ['127.0.0.1', '127.0.0.1', '127.0.0.2']);
});
