import { app } from './server.js';

const server = (await app()).listen(8081, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
