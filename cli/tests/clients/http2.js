// Node's client of HTTP/2 on one connection: what it sends and what it gets. The argument is the server's URL.
'use strict';
const assert = require('node:assert');
const http2 = require('node:http2');

const origin = process.argv[2];

// All of one response; `write` sends the body.
function ask(session, headers, write = (stream) => stream.end()) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/', ...headers });
    const got = { chunks: [] };
    stream.on('response', (head) => { got.head = head; });
    stream.on('headers', (head) => { (got.interim ??= []).push(head[':status']); });
    stream.on('trailers', (trailers) => { got.trailers = trailers; });
    stream.on('data', (chunk) => got.chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => resolve({ ...got, body: Buffer.concat(got.chunks) }));
    write(stream);
  });
}

async function anEchoHasWhatWasSent(session) {
  const headers = { ':method': 'POST', ':path': '/anything/x?y=1', 'x-a': 'é', cookie: ['a=b', 'c=d'], 'x-long': 'l'.repeat(5000) };
  const { head, body } = await ask(session, headers, (stream) => { stream.write('one '); stream.end('two'); });
  const echo = JSON.parse(body);
  assert.strictEqual(head[':status'], 200);
  assert.deepStrictEqual([echo.method, echo.body, echo.headers.Cookie, echo.headers['X-Long'].length], ['POST', 'one two', 'a=b; c=d', 5000]);
}

async function manyAtATime(session) {
  const sizes = Array.from({ length: 100 }, (_, at) => at * 3001 + 1);
  const answers = await Promise.all(sizes.map((size) => ask(session, { ':path': `/bin/${size}` })));
  assert.deepStrictEqual(answers.map(({ body }) => body.length), sizes);
}

async function aLargeBodyEachWay(session) {
  const [up, down] = await Promise.all([
    ask(session, { ':method': 'PUT', ':path': '/upload' }, (stream) => stream.end(Buffer.alloc(1 << 20))),
    ask(session, { ':path': '/bin/1M' }),
  ]);
  assert.strictEqual(JSON.parse(up.body).bytes_received, 1 << 20);
  assert.strictEqual(down.body.length, 1 << 20);
}

async function interimResponses(session) {
  const { head, interim } = await ask(session, { ':path': '/fault/100s?count=3' });
  assert.deepStrictEqual([head[':status'], interim], [200, [100, 102, 103]]);
}

async function aResetHasItsCode(session) {
  const reset = ask(session, { ':path': '/fault/reset?after=1000&code=ENHANCE_YOUR_CALM' });
  await assert.rejects(reset, /NGHTTP2_ENHANCE_YOUR_CALM/);
}

async function aCancelledRequestHurtsNoOther(session) {
  const stream = session.request({ ':path': '/delay/20000' });
  stream.on('error', () => {});
  stream.close(http2.constants.NGHTTP2_CANCEL);
  assert.strictEqual((await ask(session, { ':path': '/health' })).head[':status'], 200);
}

async function itIsToldOfTheEnd() {
  const session = http2.connect(origin);
  const goaway = new Promise((resolve) => session.on('goaway', (code) => resolve(code)));
  const closed = new Promise((resolve) => session.on('close', resolve));
  const { body } = await ask(session, { ':path': '/fault/goaway?after=1000' });
  assert.deepStrictEqual([body.length, await goaway], [2024, http2.constants.NGHTTP2_NO_ERROR]);
  await closed;
}

async function main() {
  for (const settings of [{}, { initialWindowSize: 1000, maxFrameSize: 16384 }, { headerTableSize: 0 }]) {
    const session = http2.connect(origin, { settings });
    for (const part of [anEchoHasWhatWasSent, manyAtATime, aLargeBodyEachWay, interimResponses, aResetHasItsCode, aCancelledRequestHurtsNoOther]) {
      await part(session).catch((error) => { throw new Error(`${part.name} ${JSON.stringify(settings)}: ${error.stack}`); });
    }
    session.close();
  }
  await itIsToldOfTheEnd();
}

main().catch((error) => { console.error(error); process.exit(1); });
