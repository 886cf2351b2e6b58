import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import WebSocket from 'ws';
import { chosenProtocol, offeredToken } from './subprotocol.ts';
import { ApiFixture } from './testing/fixture.ts';

const encoded = (token: string): string => `bearer.${Buffer.from(token).toString('base64url')}`;

describe('a token among the subprotocols of a WebSocket', () => {
  let api: ApiFixture;
  beforeEach(async () => {
    api = await ApiFixture.open();
    await api.sprite();
    api.service.onStart = (session) => {
      session.print('hi');
      session.exit(0);
    };
  });
  afterEach(() => api[Symbol.asyncDispose]());

  /** What the answer names, or its status where it refuses. */
  async function open(protocols: string[], headers: Record<string, string> = {}): Promise<string | number> {
    const socket = new WebSocket(`${api.url.replace('http', 'ws')}/v1/sprites/one/exec?cmd=x`, protocols, { headers });
    socket.on('error', () => {}); // a refusal is seen below
    const refused = once(socket, 'unexpected-response').then(([, response]) => {
      socket.terminate();
      return (response as { statusCode: number }).statusCode;
    });
    const opened = once(socket, 'open').then(async () => {
      await once(socket, 'close');
      return socket.protocol;
    });
    return Promise.any([refused, opened]);
  }

  it('lets the client in; the answer and the log do not repeat it', async () => {
    assert.equal(await open(['sylph', encoded(api.token)]), 'sylph');
    assert.equal(await open([encoded(api.token), 'other', 'sylph']), 'sylph');
    const log = api.log.join('');
    for (const secret of [api.token, encoded(api.token), api.token.split('/').at(-1) ?? assert.fail()])
      assert.ok(!log.includes(secret));
  });

  it('is refused when it is wrong, malformed, or offered twice', async () => {
    for (const offers of [
      ['sylph'],
      [encoded(api.token)],
      ['sylph', encoded(`${api.token}x`)],
      ['sylph', 'bearer.'],
      ['sylph', `bearer.${api.token.replaceAll('/', '.')}`],
      ['sylph', encoded(api.token), encoded('other')],
    ])
      assert.equal(await open(offers), 401, String(offers));
  });

  it('does not count beside a header, nor without an upgrade', async () => {
    assert.equal(await open(['sylph', encoded(api.token)], { authorization: 'Bearer x' }), 401);
    const headers = { 'sec-websocket-protocol': `sylph, ${encoded(api.token)}` };
    assert.equal((await fetch(`${api.url}/v1/sprites`, { headers })).status, 401);
  });

  it('changes nothing for clients that send the header', async () => {
    const authorization = `Bearer ${api.token}`;
    assert.equal(await open([], { authorization }), '');
    assert.equal(await open(['other', 'another'], { authorization }), 'other');
  });

  it('is read out of anything without harm, and never chosen', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom('sylph', 'bearer.YS9i', 'bearer.', ' ', ','), fc.string())),
        (all) => {
          const token = offeredToken({ upgrade: 'websocket', 'sec-websocket-protocol': all.join(', ') });
          assert.ok(token === undefined || /^\S+$/.test(token));
          assert.ok(!String(chosenProtocol(new Set(all))).startsWith('bearer.'));
        },
      ),
    );
    assert.equal(offeredToken({ upgrade: 'WebSocket', 'sec-websocket-protocol': 'sylph,bearer.YS9i' }), 'a/b');
  });
});
