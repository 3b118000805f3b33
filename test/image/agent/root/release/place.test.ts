import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import type { BootwaveError } from '../../../../../base/error.ts';
import { boot, nextBoot } from '../../../../../image/agent/root/release/choice.ts';
import { placeImage } from '../../../../../image/agent/root/release/place.ts';
import { ESP_RESERVE, lastGood, readSlots } from '../../../../../protocol/agent/slots.ts';
import { PowerCut, Volume } from './volume.ts';

const contentOf = (version: string) => Buffer.alloc(1000, `image ${version} `);
const wantedOf = (version: string) => ({
  version,
  sha256: createHash('sha256').update(contentOf(version)).digest('hex'),
  size: 1000,
});
async function* pieces(content: Buffer) {
  for (let at = 0; at < content.length; at += 100) yield content.subarray(at, at + 100);
}
/** Room for as many images. */
const volume = (images: number) => new Volume(ESP_RESERVE + images * 1000);
const put = (esp: Volume, ...names: string[]) => {
  for (const name of names) esp.put(name, contentOf(/_(\d+)/.exec(name)![1]!));
};
const names = async (esp: Volume) => (await esp.list()).map(({ name }) => name).sort();

test('an image is there whole, with three tries, and an oldest one made room', async (t) => {
  const esp = volume(3);
  put(esp, 'bootwave_1.efi', 'bootwave_2.efi', 'bootwave_3.efi');
  const placed = await placeImage(esp, wantedOf('4'), '3', pieces(contentOf('4')));
  t.deepEqual(placed, { file: 'bootwave_4+3.efi', already: false, dropped: ['bootwave_1.efi'] });
  t.deepEqual(await names(esp), ['bootwave_2.efi', 'bootwave_3.efi', 'bootwave_4+3.efi']);
  const again = await placeImage(esp, wantedOf('4'), '3', null);
  t.deepEqual(again, { file: 'bootwave_4+3.efi', already: true, dropped: [] });
});

test('other bytes than the ordered ones never get a name that can be started', async (t) => {
  const esp = volume(3);
  put(esp, 'bootwave_1.efi');
  for (const wrong of [
    contentOf('3'),
    contentOf('2').subarray(1),
    Buffer.concat([contentOf('2'), contentOf('2')]),
  ]) {
    const error = await t.throwsAsync(placeImage(esp, wantedOf('2'), '1', pieces(wrong)));
    t.is((error as BootwaveError).code, 'STAGE_DIGEST');
    t.deepEqual(await names(esp), ['bootwave_1.efi']);
  }
});

test('a running or last good image with other content under the ordered version is not replaced', async (t) => {
  const esp = volume(3);
  esp.put('bootwave_2.efi', contentOf('x'.repeat(3)));
  const error = await t.throwsAsync(placeImage(esp, wantedOf('2'), '2', pieces(contentOf('2'))));
  t.is((error as BootwaveError).code, 'STAGE_PROTECTED');
  t.deepEqual(esp.content('bootwave_2.efi'), contentOf('xxx'));
});

test('a failed image that was forgiven gets its tries back without being written again', async (t) => {
  const esp = volume(2);
  put(esp, 'bootwave_1.efi', 'bootwave_2+0-3.efi');
  t.is((await placeImage(esp, wantedOf('2'), '1', null)).file, 'bootwave_2+3.efi');
  t.is(
    ((await t.throwsAsync(placeImage(esp, wantedOf('3'), '1', null))) as BootwaveError).code,
    'STAGE_NOT_FETCHED',
  );
});

test('power cut at any operation: every name that can be started is whole, the last good one untouched', async (t) => {
  const starts = [
    ['bootwave_1.efi'],
    ['bootwave_1.efi', 'bootwave_2.efi', 'bootwave_3.efi'],
    ['bootwave_1.efi', 'bootwave_3.efi', 'bootwave_4+0-3.efi'],
    ['bootwave_1.efi', 'bootwave_3.efi', 'bootwave_9+0-3.efi'],
    ['bootwave_3.efi', 'bootwave_4+2-1.efi'],
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...starts),
      fc.nat(20),
      fc.nat(20),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (start, first, second, chance) => {
        const esp = volume(3);
        put(esp, ...start);
        const running = lastGood(readSlots(await esp.list()))!;
        for (const after of [first, second, Number.POSITIVE_INFINITY]) {
          esp.cutAfter(after, chance);
          const placing = placeImage(esp, wantedOf('9'), running.version, pieces(contentOf('9')));
          await placing.catch((error) => {
            if (!(error instanceof PowerCut)) throw error;
          });
          esp.restart();
          t.false(esp.touched.has(running.file), 'the last good one was opened, renamed or removed');
          const slots = readSlots(await esp.list()).filter(({ size }) => size > 0);
          for (const { file, version } of slots) t.deepEqual(esp.content(file), contentOf(version), file);
          t.not(nextBoot(slots), null);
        }
        t.is(boot(await esp.list()).started?.version, '9');
      },
    ),
    { numRuns: 300 },
  );
});
