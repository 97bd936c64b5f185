import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fingerprint } from '../scripts/build.js';

test('a fingerprint names the bytes', () => {
  assert.equal(fingerprint(Buffer.from('shop')), fingerprint(Buffer.from('shop')));
  assert.notEqual(fingerprint(Buffer.from('shop')), fingerprint(Buffer.from('shpo')));
  assert.match(fingerprint(Buffer.from('')), /^[0-9a-f]{12}$/);
});
