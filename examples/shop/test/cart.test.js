import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cart, price } from '../web/src/cart.js';

const rope = { id: 'rope', price: 1890, stock: 2 };
const lamp = { id: 'lamp', price: 3950, stock: 0 };

test('a cart adds up', () => {
  const cart = new Cart();
  assert.ok(cart.add(rope));
  assert.ok(cart.add(rope));
  assert.equal(cart.size, 2);
  assert.equal(cart.total([rope, lamp]), 3780);
  assert.deepEqual(cart.lines(), [{ id: 'rope', count: 2 }]);
});

test('a cart holds no more than there is', () => {
  const cart = new Cart();
  assert.equal(cart.add(lamp), false);
  cart.add(rope);
  cart.add(rope);
  assert.equal(cart.add(rope), false);
  assert.equal(cart.size, 2);
});

test('what is taken out is gone', () => {
  const cart = new Cart();
  cart.add(rope);
  cart.remove(rope);
  assert.deepEqual(cart.lines(), []);
});

test('prices are for people', () => {
  assert.equal(price(3950), '€ 39.50');
});
