import { readFile } from 'node:fs/promises';
import test from 'ava';
import fc from 'fast-check';
import { VARS_TEMPLATE } from '../../lab/machine.ts';
import { withoutBootEntries } from '../../lab/variables.ts';

const GLOBAL = '61dfe48bca93d211aa0d00e098032b8c';
const OTHER = '00'.repeat(16);
const AT = 72 + 28;

/** AUTHENTICATED_VARIABLE_HEADER, name, data, and what fills up to a multiple of 4. */
function variable(name: string, guid: string, data: string): Buffer {
  const header = Buffer.alloc(60);
  const text = Buffer.from(`${name}\0`, 'utf16le');
  header.writeUInt16LE(0x55aa, 0);
  header.writeUInt8(0x3f, 2);
  header.writeUInt32LE(text.length, 36);
  header.writeUInt32LE(data.length, 40);
  Buffer.from(guid, 'hex').copy(header, 44);
  const whole = Buffer.concat([header, text, Buffer.from(data)]);
  return Buffer.concat([whole, Buffer.alloc((4 - (whole.length % 4)) % 4, 0xff)]);
}

async function storeOf(variables: readonly Buffer[]): Promise<Buffer> {
  const store = await readFile(VARS_TEMPLATE);
  Buffer.concat([...variables]).copy(store, AT);
  return store;
}

test('boot entries are deleted, and nothing else changes by a bit', async (t) => {
  const variables = [
    variable('db', OTHER, 'certificate'),
    variable('Boot0001', GLOBAL, 'network card'),
    variable('BootOrder', GLOBAL, '\x01\0'),
    variable('BootOrder', OTHER, 'somebody else'),
    variable('BootOptionSupport', GLOBAL, 'x'),
    variable('PK', GLOBAL, 'key'),
  ];
  const store = await storeOf(variables);
  const without = withoutBootEntries(store);
  const changed: [number, number][] = [];
  for (const [i, byte] of store.entries()) if (byte !== without[i]) changed.push([i, without[i]!]);
  const first = AT + variables[0]!.length;
  t.deepEqual(changed, [
    [first + 2, 0x3d],
    [first + variables[1]!.length + 2, 0x3d],
  ]);
  t.is(store[first + 2], 0x3f, 'what was given is as it was');
});

test('the template of the distribution is such a store; anything else is refused or read, and never more', async (t) => {
  const store = await readFile(VARS_TEMPLATE);
  t.true(withoutBootEntries(store).equals(store));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      t.throws(() => withoutBootEntries(Buffer.from(bytes)), { code: 'LAB_VARIABLES' });
      const torn = Buffer.from(store);
      torn.set(bytes, AT);
      t.is(withoutBootEntries(torn).length, store.length);
    }),
  );
});
