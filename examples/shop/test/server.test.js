import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { app } from '../dev/server.js';

let server;
let url;

before(async () => {
  server = (await app()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  url = `http://127.0.0.1:${server.address().port}`;
});

after(() => server.close());

async function order(lines) {
  return fetch(`${url}/api/orders`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(lines),
  });
}

test('the catalog is served', async () => {
  const items = await (await fetch(`${url}/api/items`)).json();
  assert.equal(items.length, 6);
  assert.equal(items[0].label, '€ 39.50');
});

test('an order is taken', async () => {
  const response = await order([{ id: 'rope', count: 2 }]);
  assert.equal(response.status, 201);
  assert.equal((await response.json()).total, 3780);
});

test('what is sold out is not sold', async () => {
  assert.equal((await order([{ id: 'kettle', count: 1 }])).status, 409);
});
