import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { helperAt } from '../../../../image/agent/member/helper-client.ts';
import { helperSocket } from './helper-socket.ts';

const { folder, path, close } = await helperSocket('machine');
test.after.always(close);

test('what is not on the list is not done', async (t) => {
  for (const request of [
    { operation: 'run', command: 'id' },
    { operation: 'quote' },
    { operation: 'quote', extraData: '../x' },
    { operation: 'activate', blob: 'AA==' },
    { operation: 'restart', delay: 1 },
    [],
  ]) {
    const error = await t.throwsAsync(helperAt(path)(request as never), { instanceOf: BootwaveError });
    t.is(error.code, 'HELPER_REQUEST');
  }
});

test('an operation that fails comes back as a coded error over the socket', async (t) => {
  // No efivarfs of this machine is in setup mode.
  const error = await t.throwsAsync(helperAt(path)({ operation: 'enrol-secure-boot' }), {
    instanceOf: BootwaveError,
  });
  t.is(error.code, 'SECURE_BOOT_NOT_SETUP');
});

test('no helper is a coded error', async (t) => {
  const error = await t.throwsAsync(helperAt(join(folder, 'nobody'))({ operation: 'identify' }), {
    instanceOf: BootwaveError,
  });
  t.is(error.code, 'HELPER_UNREACHABLE');
});
