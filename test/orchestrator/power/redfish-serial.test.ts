/** What a BMC says of its console in Redfish, and the SSH behind it. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import fc from 'fast-check';
import { consoleOf, systemSchema } from '../../../orchestrator/power/redfish-documents.ts';
import { openSshSerial } from '../../../orchestrator/power/redfish-serial.ts';
import { bench, never, PASSWORD, USER } from './benches.ts';

const systemWith = (SerialConsole: unknown) =>
  systemSchema.parse({ '@odata.id': '/redfish/v1/Systems/1', SerialConsole });

test('a console is offered where SSH is, and is not switched off; whatever else stands there is none', (t) => {
  t.deepEqual(
    consoleOf(systemWith({ SSH: { ServiceEnabled: true, Port: 2200, ConsoleEntryCommand: 'start /sys' } })),
    {
      port: 2200,
      command: 'start /sys',
    },
  );
  t.deepEqual(consoleOf(systemWith({ SSH: {} })), { port: 22, command: null });
  t.is(consoleOf(systemWith({ SSH: { ServiceEnabled: false } })), null);
  t.is(consoleOf(systemWith({ IPMI: { ServiceEnabled: true } })), null);
  t.is(consoleOf(systemWith({ SSH: { ConsoleEntryCommand: 'start\nreset /sys' } })), null, 'one line');
  t.is(consoleOf(systemWith(undefined)), null);
  fc.assert(
    fc.property(fc.anything(), (odd) => {
      const found = consoleOf(systemWith({ SSH: odd }));
      return found === null || (found.port >= 1 && found.port <= 65_535);
    }),
  );
});

test('where a command line answers, it is told first how the console is entered', async (t) => {
  let told = '';
  const serial = createServer((socket) => {
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        told += bytes.toString();
        socket.write('as ordered');
      });
  });
  serial.listen(0, '127.0.0.1');
  await once(serial, 'listening');
  t.teardown(() => serial.close());
  const login = { user: USER, password: PASSWORD };
  const { access, ssh } = await bench(t, 'redfish', login, (serial.address() as { port: number }).port);
  const line = await openSshSerial(access, { port: ssh!.port, command: 'start /sys' }, never);
  await once(line.output, 'data');
  t.is(told, 'start /sys\r');
  await line.close();
  t.is(await line.ended, 'the BMC has ended it');
});

test('one that says nothing is not waited for longer than people wait', async (t) => {
  const mute = createServer((socket) => socket.on('error', () => {}).resume());
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  t.teardown(() => mute.close());
  const { access } = await bench(t, 'redfish');
  const stop = new AbortController();
  const offered = { port: (mute.address() as { port: number }).port, command: null };
  const opening = openSshSerial(access, offered, stop.signal);
  const refused = t.throwsAsync(opening, { message: /they left/ });
  await sleep(100);
  stop.abort(new Error('they left'));
  await refused;
  await t.throwsAsync(openSshSerial(access, offered, never), { code: 'BMC_SILENT' });
});
