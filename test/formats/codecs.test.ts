import { createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../base/error.ts';
import { mustRun } from '../../base/run.ts';
import { parseCsr } from '../../formats/csr.ts';
import { digestOf } from '../../formats/digest.ts';
import { parseTpmPublic } from '../../formats/tpm/public.ts';
import { checkSelection, parseQuote, parseSignature, verifyQuote } from '../../formats/tpm/quote.ts';
import { certificateRequest } from '../../image/agent/member/certificate-request.ts';
import { der, TAG } from '../../image/agent/member/der.ts';
import { Tpm } from '../../image/agent/root/tpm.ts';
import { extraData } from '../../protocol/enrolment/extra-data.ts';
import { deviceNodeId } from '../../protocol/enrolment/node-id.ts';
import { QUOTED_PCRS } from '../../protocol/enrolment/quote.ts';
import { enrolmentWords } from '../../protocol/enrolment/words.ts';
import { INVENTORY, makeKey } from '../bootserver/enroll/support/node.ts';
import { SoftwareTpm } from '../bootserver/enroll/support/swtpm.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-codecs-'));
const software = await new SoftwareTpm(folder).start();
const tpm = new Tpm(join(folder, 'work'), software.environment);
const { ek, ak } = await tpm.identify();
const extra = randomBytes(32);
const evidence = await tpm.quote(extra);
const key = parseTpmPublic(ak, 'AK_MALFORMED');
const expected = { ak: key, extraData: extra, pcrs: QUOTED_PCRS };
await software.stop();
test.after.always(() => rm(folder, { recursive: true, force: true }));

/** A structure with bytes changed, cut off or added. */
function bent(good: Uint8Array): fc.Arbitrary<Buffer> {
  return fc
    .record({
      edits: fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }),
      cut: fc.nat(good.length),
      tail: fc.uint8Array({ maxLength: 20 }),
    })
    .map(({ edits, cut, tail }) => {
      const bytes = Buffer.from(good);
      for (const [at, value] of edits) bytes[at] = value;
      return Buffer.concat([bytes.subarray(0, cut), tail]);
    });
}

/** The reader gives a value or an error of its own code: never another throw. */
function onlyCoded(read: (bytes: Buffer) => unknown, codes: RegExp, bytes: Buffer): boolean {
  try {
    read(bytes);
    return true;
  } catch (error) {
    return error instanceof BootwaveError && codes.test(error.code);
  }
}

for (const [title, good, read, codes] of [
  ['EK', ek, (bytes: Buffer) => parseTpmPublic(bytes, 'EK_MALFORMED'), /^EK_MALFORMED$/],
  ['AK', ak, (bytes: Buffer) => parseTpmPublic(bytes, 'AK_MALFORMED'), /^AK_MALFORMED$/],
  ['quote', evidence.attest, parseQuote, /^QUOTE_MALFORMED$/],
  ['signature', evidence.signature, parseSignature, /^QUOTE_MALFORMED$/],
  ['CSR', makeKey().csr, parseCsr, /^CSR_(MALFORMED|KEY_UNSUPPORTED|SIGNATURE)$/],
] as const) {
  test(`a bent or random ${title} is refused by code and breaks nothing`, (t) => {
    t.notThrows(() => read(Buffer.from(good)));
    fc.assert(
      fc.property(bent(good), (bytes) => onlyCoded(read, codes, bytes)),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => onlyCoded(read, codes, Buffer.from(bytes))),
    );
  });
}

test('no changed byte of a quote goes unnoticed', (t) => {
  t.notThrows(() => verifyQuote(evidence, expected));
  const changed = fc.record({
    part: fc.constantFrom('attest', 'signature'),
    at: fc.nat(1000),
    mask: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(changed, ({ part, at, mask }) => {
      const bytes = Buffer.from(evidence[part as 'attest' | 'signature']);
      bytes[at % bytes.length]! ^= mask;
      try {
        verifyQuote({ ...evidence, [part]: bytes }, expected);
        return false;
      } catch (error) {
        return error instanceof BootwaveError && error.code.startsWith('QUOTE_');
      }
    }),
    { numRuns: 500 },
  );
});

test('a number of a signature may come with more zeros in front than it needs, or with fewer', (t) => {
  const plain = parseSignature(evidence.signature);
  const [head, r, s] = [evidence.signature.subarray(0, 4), plain.subarray(0, 32), plain.subarray(32)];
  const sized = (part: Uint8Array) => Buffer.concat([Buffer.from([0, part.length]), part]);
  const written = (...parts: Uint8Array[]) => Buffer.concat([head, ...parts.map(sized)]);
  for (const zeros of [0, 1, 16]) {
    const signature = written(Buffer.concat([Buffer.alloc(zeros), r]), s);
    t.deepEqual(parseSignature(signature), plain, `${zeros}`);
    t.notThrows(() => verifyQuote({ ...evidence, signature }, expected));
  }
  t.deepEqual(
    parseSignature(written(r, Buffer.from([5]))),
    Buffer.concat([r, Buffer.alloc(31), Buffer.from([5])]),
  );
  t.throws(() => parseSignature(written(Buffer.concat([Buffer.from([1]), r]), s)), {
    code: 'QUOTE_MALFORMED',
  });
});

test('a bank of which nothing is selected adds nothing to a quote; a second one with PCRs does', (t) => {
  const { selections } = parseQuote(evidence.attest);
  const one = Buffer.from('000b03', 'hex');
  const at = evidence.attest.lastIndexOf(one);
  t.is(selections.length, 1);
  const withBank = (bank: string) => {
    const count = Buffer.from([0, 0, 0, 2]);
    return Buffer.concat([
      evidence.attest.subarray(0, at - 4),
      count,
      Buffer.from(bank, 'hex'),
      evidence.attest.subarray(at),
    ]);
  };
  const checked = (attest: Buffer) => () => checkSelection(parseQuote(attest), QUOTED_PCRS);
  t.notThrows(checked(withBank('000403000000')));
  t.throws(checked(withBank('000403010000')), { code: 'QUOTE_SELECTION' });
});

test('what is not the attestation of a quote is told apart, whoever signed it', (t) => {
  const attest = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(evidence.attest);
    change(bytes);
    return bytes;
  };
  t.throws(() => parseQuote(attest((bytes) => bytes.writeUInt32BE(0xff544348))), {
    code: 'QUOTE_MALFORMED',
    message: /TPM_GENERATED_VALUE/,
  });
  // TPM_ST_ATTEST_CERTIFY.
  t.throws(() => parseQuote(attest((bytes) => bytes.writeUInt16BE(0x8017, 4))), {
    code: 'QUOTE_MALFORMED',
    message: /of type 0x8017/,
  });
  t.throws(() => parseQuote(Buffer.concat([evidence.attest, Buffer.alloc(1)])), {
    message: /1 bytes follow/,
  });
  t.throws(() => verifyQuote(evidence, { ...expected, extraData: randomBytes(32) }), {
    code: 'QUOTE_EXTRA_DATA',
  });
  t.throws(() => verifyQuote(evidence, { ...expected, pcrs: QUOTED_PCRS.slice(1) }), {
    code: 'QUOTE_SELECTION',
  });
});

test('PCR values must be exactly the quoted ones', (t) => {
  const { 13: _, ...missing } = evidence.pcrs;
  for (const pcrs of [missing, { ...evidence.pcrs, 8: '00'.repeat(32) }, {}]) {
    t.throws(() => verifyQuote({ ...evidence, pcrs: pcrs as Record<string, string> }, expected), {
      code: 'QUOTE_PCRS',
    });
  }
});

test('the CSR is one that OpenSSL verifies, and its key comes back', async (t) => {
  const { key: own, csr } = makeKey();
  const { stderr } = await mustRun('openssl', ['req', '-inform', 'DER', '-verify', '-noout'], { input: csr });
  t.regex(stderr, /OK/);
  t.deepEqual(parseCsr(csr).spki, createPublicKey(own).export({ type: 'spki', format: 'der' }));
});

test('a CSR of OpenSSL with a subject and attributes is read the same', async (t) => {
  const file = join(folder, 'p256.key');
  await mustRun('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file]);
  const request = ['req', '-new', '-key', file, '-outform', 'DER', '-out', join(folder, 'csr.der')];
  await mustRun('openssl', [...request, '-subj', '/CN=a/O=b', '-addext', 'subjectAltName=DNS:evil.example']);
  const { readFile } = await import('node:fs/promises');
  const der = await readFile(join(folder, 'csr.der'));
  t.deepEqual(parseCsr(der).der, der);
});

test('keys of other curves are refused', (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  t.throws(() => parseCsr(certificateRequest(privateKey, 'x')), { code: 'CSR_KEY_UNSUPPORTED' });
});

test('a CSR is taken in one encoding only', (t) => {
  const { csr } = makeKey();
  // The outer length in one byte more than it needs: the same values in BER.
  const longer = Buffer.concat([Buffer.from([0x30, 0x82, 0, csr[2]!]), csr.subarray(3)]);
  t.is(csr[1], 0x81);
  t.throws(() => parseCsr(longer), { code: 'CSR_MALFORMED' });
  t.throws(() => parseCsr(Buffer.concat([csr, Buffer.from([0])])), { code: 'CSR_MALFORMED' });
});

test('a structure that is tagged as another one is no CSR, though all that is signed in it is', (t) => {
  const { csr } = makeKey();
  t.notThrows(() => parseCsr(csr));
  // SET for SEQUENCE, outside of what its key signs.
  const outer = Buffer.from(csr);
  outer[0] = 0x31;
  const algorithm = csr.indexOf(Buffer.from('300a06082a8648ce3d040302', 'hex'));
  const asSet = Buffer.from(csr);
  asSet[algorithm] = 0x31;
  const octets = Buffer.from(csr);
  t.is(octets[algorithm + 12], 0x03, 'the BIT STRING of the signature');
  octets[algorithm + 12] = 0x04;
  const context = Buffer.from(csr);
  context[0] = 0xa0;
  for (const bent of [outer, octets, context]) t.throws(() => parseCsr(bent), { code: 'CSR_MALFORMED' });
  t.throws(() => parseCsr(asSet), { code: 'CSR_MALFORMED' });
});

test('inside of what is signed every tag counts as well', (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const made = (version: Buffer, subject: number, attributes: number, infoTag: number = TAG.sequence) => {
    const info = der(infoTag, version, der(subject), spki, der(attributes));
    const signature = sign('sha256', info, privateKey);
    const algorithm = der(TAG.sequence, der(TAG.oid, Buffer.from('2a8648ce3d040302', 'hex')));
    return der(TAG.sequence, info, algorithm, der(TAG.bitString, Buffer.from([0]), signature));
  };
  const zero = der(TAG.integer, Buffer.from([0]));
  t.notThrows(() => parseCsr(made(zero, TAG.sequence, TAG.context0)));
  const wrong = [
    made(der(TAG.integer, Buffer.from([1])), TAG.sequence, TAG.context0),
    made(der(TAG.oid, Buffer.from([0])), TAG.sequence, TAG.context0),
    made(zero, TAG.set, TAG.context0),
    made(zero, TAG.sequence, TAG.set),
    made(zero, TAG.sequence, 0xa1),
    made(zero, TAG.sequence, TAG.context0, TAG.set),
  ];
  for (const bent of wrong) t.throws(() => parseCsr(bent), { code: 'CSR_MALFORMED' });
});

test('different parts never hash alike, however they are cut', (t) => {
  const part = fc.option(fc.uint8Array({ maxLength: 4 }), { nil: null });
  const list = fc.array(part, { minLength: 3, maxLength: 3 });
  const flat = (parts: (Uint8Array | null)[]) => JSON.stringify(parts.map((p) => [...(p ?? [])]));
  fc.assert(
    fc.property(list, list, (a, b) => flat(a) === flat(b) || !digestOf('x', a).equals(digestOf('x', b))),
  );
  t.notDeepEqual(
    digestOf('x', [Buffer.from('ab'), Buffer.from('c')]),
    digestOf('x', [Buffer.from('a'), Buffer.from('bc')]),
  );
  t.notDeepEqual(digestOf('x', []), digestOf('y', []));
});

test('extraData and words hang on every input', (t) => {
  const [a, b] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  t.not(extraData(a, a, 'k').toString('hex'), extraData(b, a, 'k').toString('hex'));
  t.not(extraData(a, a, 'k').toString('hex'), extraData(a, b, 'k').toString('hex'));
  t.not(extraData(a, a, 'k').toString('hex'), extraData(a, a, 'l').toString('hex'));
  const base = { fleetRoot: a, ek: a, ak: a, csrKey: a, nonce: a };
  const words = enrolmentWords(base).join(' ');
  for (const name of Object.keys(base)) t.not(enrolmentWords({ ...base, [name]: b }).join(' '), words, name);
  t.not(enrolmentWords({ ...base, ek: null, ak: null }).join(' '), words);
});

test('the words are 44 bits of the list of 2048', (t) => {
  const seen = [0, 1, 2, 3].map(() => new Set<string>());
  for (let i = 0; i < 3000; i++) {
    const nonce = Buffer.alloc(32);
    nonce.writeUInt32BE(i);
    const words = enrolmentWords({ fleetRoot: nonce, ek: null, ak: null, csrKey: nonce, nonce });
    words.forEach((word, place) => {
      seen[place]!.add(word);
    });
  }
  t.is(wordlist.length, 2048);
  // 3000 draws from 2048 show some 1570 different words (2048 * (1 - e^(-3000/2048))); a lost bit would show 1000 at most.
  for (const words of seen) t.true(words.size > 1400 && [...words].every((word) => wordlist.includes(word)));
});

test('a device id does not hang on the order of its network cards', (t) => {
  const nic = (mac: string) => ({ name: 'e', mac, driver: 'd', speed: null });
  const [a, b] = [nic('52:54:00:00:00:01'), nic('52:54:00:00:00:02')];
  t.is(deviceNodeId({ ...INVENTORY, nics: [a, b] }), deviceNodeId({ ...INVENTORY, nics: [b, a] }));
  t.not(deviceNodeId({ ...INVENTORY, nics: [a] }), deviceNodeId({ ...INVENTORY, nics: [a, b] }));
  t.not(deviceNodeId({ ...INVENTORY, serial: 'S2' }), deviceNodeId(INVENTORY));
});
