import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { buildImage } from '../../../image/build/build.ts';

test('an image that nodes could come to from none is not begun', async (t) => {
  const paths = dataPaths(join(import.meta.dirname, 'nowhere'));
  for (const minSource of ['2.0', '2.1', '2.0.1'])
    await t.throwsAsync(buildImage({ paths, version: '2.0', way: { minSource } }), {
      code: 'IMAGE_SOURCE_INVALID',
    });
  await t.throwsAsync(buildImage({ paths, version: '2.0', way: { minSource: '../2.0' } }), {
    code: 'IMAGE_VERSION_INVALID',
  });
});
