// The server for work on the web app: the bundled files and a make-believe API
// with the same catalog as the real one, which is written in Go.
import express from 'express';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

export async function app() {
  const catalog = JSON.parse(await readFile(path.join(root, 'catalog', 'catalog.json'), 'utf8'));
  const items = catalog.map((it) => ({ ...it, label: `€ ${(it.price / 100).toFixed(2)}` }));
  const server = express();
  server.disable('x-powered-by');
  server.use(express.json({ limit: '64kb' }));
  server.get('/api/items', (req, res) => res.json(items));
  server.post('/api/orders', (req, res) => {
    let total = 0;
    for (const { id, count } of req.body) {
      const item = items.find((it) => it.id === id);
      if (!item || count < 1) return res.status(409).json({ error: `no such item: ${id}` });
      if (item.stock < count) return res.status(409).json({ error: `${item.name}: not enough in stock` });
      total += item.price * count;
    }
    return res.status(201).json({ number: 'make-believe', total, label: `€ ${(total / 100).toFixed(2)}` });
  });
  server.use(express.static(path.join(root, 'build')));
  return server;
}
