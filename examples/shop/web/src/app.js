import { Cart, price } from './cart.js';

const cart = new Cart();
const items = await (await fetch('/api/items')).json();
const $ = (selector) => document.querySelector(selector);

function element(tag, props, ...children) {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
}

function card(item) {
  const add = element('button', { textContent: item.stock ? 'Add' : 'Sold out', disabled: !item.stock });
  add.addEventListener('click', () => {
    if (!cart.add(item)) add.disabled = true;
    show();
  });
  const text = element('div', { className: 'text' });
  text.innerHTML = item.text; // rendered by our own server
  return element(
    'article',
    { className: 'card' },
    element('div', { className: 'picture', textContent: item.name[0], style: `--hue:${item.price % 360}` }),
    element('h2', { textContent: item.name }),
    text,
    element('footer', {}, element('strong', { textContent: item.label ?? price(item.price) }), add),
  );
}

function show() {
  $('#count').textContent = cart.size;
  $('#total').textContent = price(cart.total(items));
  $('#buy').disabled = cart.size === 0;
}

async function buy() {
  const response = await fetch('/api/orders', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(cart.lines()),
  });
  const order = await response.json();
  $('#said').textContent = response.ok ? `Thank you. ${order.label}, order ${order.number.slice(0, 8)}.` : order.error;
  if (response.ok) cart.clear();
  show();
}

$('#items').append(...items.map(card));
$('#buy').addEventListener('click', buy);
show();
