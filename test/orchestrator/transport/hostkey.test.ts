import test from 'ava';
import fc from 'fast-check';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { hostKeyBlob, isHostKey } from '../../../orchestrator/transport/hostkey.ts';

test('the line that a node enrols with is the key that its sshd shows', (t) => {
  const { line } = makeHostKey();
  const blob = hostKeyBlob(line);
  t.is(blob.length, 51);
  t.true(isHostKey(Buffer.from(blob), blob));
  t.deepEqual(hostKeyBlob(`${line} a comment`.replace(' a comment', ' comment')), blob);
});

test('one bit, one byte more or less, or nothing at all is another key', (t) => {
  const blob = hostKeyBlob(makeHostKey().line);
  fc.assert(
    fc.property(fc.nat(blob.length * 8 - 1), (bit) => {
      const other = Buffer.from(blob);
      other[bit >> 3]! ^= 1 << (bit & 7);
      return !isHostKey(other, blob);
    }),
  );
  t.false(isHostKey(blob.subarray(1), blob));
  t.false(isHostKey(Buffer.concat([blob, Buffer.from([0])]), blob));
  t.false(isHostKey(Buffer.alloc(0), blob));
});

test('a record without a usable key is refused', (t) => {
  const { line } = makeHostKey();
  const text = line.split(' ')[1] ?? '';
  const bad = ['', 'ssh-ed25519', 'ssh-ed25519 ', text, `ssh-rsa ${text}`, `ssh-ed25519 ${text.slice(4)}`];
  for (const record of [...bad, `ssh-ed25519 ${text}AAAA`, `ssh-ed25519 !${text}`, `x ${line}`])
    t.throws(() => hostKeyBlob(record), { code: 'LINK_HOST_KEY_RECORD' }, record);
  fc.assert(
    fc.property(fc.string(), (record) => {
      t.throws(() => hostKeyBlob(record), { code: 'LINK_HOST_KEY_RECORD' });
    }),
  );
});
