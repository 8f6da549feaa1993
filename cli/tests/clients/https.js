// Node's clients of HTTPS: https over each version of TLS with connections that are kept, and http2. The arguments are the port and a
// file with the certificate of the authority.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');

const [port, file] = process.argv.slice(2);
const ca = fs.readFileSync(file);
const origin = `https://localhost:${port}`;
// `localhost` may be ::1 first.
const at = { ca, servername: 'localhost', lookup: (name, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)) };

function ask(options, body) {
  return new Promise((resolve, reject) => {
    const request = https.request(origin + options.path, { ...at, ...options }, (response) => {
      const [chunks, protocol] = [[], response.socket.getProtocol()];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks), reused: request.reusedSocket, protocol }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function overHttps(version) {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const options = { agent, minVersion: version, maxVersion: version };
  const first = await ask({ ...options, path: '/upload', method: 'POST' }, Buffer.alloc(1 << 20));
  assert.strictEqual(JSON.parse(first.body).bytes_received, 1 << 20);
  const second = await ask({ ...options, path: '/bin/3M' });
  assert.deepStrictEqual([second.status, second.body.length, second.reused, second.protocol], [200, 3 << 20, true, version]);
  agent.destroy();
  await assert.rejects(ask({ ...options, agent: undefined, path: '/health', servername: 'other.test' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  await assert.rejects(ask({ ...options, agent: undefined, path: '/health', ca: [] }), /certificate/);
}

async function overHttp2() {
  const session = http2.connect(origin, at);
  const get = (path) => new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path });
    let count = 0;
    let status;
    stream.on('response', (head) => { status = head[':status']; });
    stream.on('data', (chunk) => { count += chunk.length; });
    stream.on('end', () => resolve([status, count]));
    stream.on('error', reject);
  });
  const sizes = Array.from({ length: 50 }, (_, n) => n * 4001 + 1);
  assert.deepStrictEqual(await Promise.all(sizes.map((size) => get(`/bin/${size}`))), sizes.map((size) => [200, size]));
  assert.deepStrictEqual([session.alpnProtocol, session.encrypted], ['h2', true]);
  session.close();
}

async function main() {
  await overHttps('TLSv1.2');
  await overHttps('TLSv1.3');
  await overHttp2();
}

main().catch((error) => { console.error(error); process.exit(1); });
