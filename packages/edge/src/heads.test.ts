import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { answerHeaders, requestHeaders, trailers, type RawHeaders, type RequestFacts } from './heads.ts';

const facts: RequestFacts = {
  host: 'one-abc.sprites.localhost',
  clientAddress: '192.0.2.1',
  proxied: false,
  scheme: 'http',
  httpVersion: '1.1',
  dropAuthorization: false,
  body: undefined,
};

/** What the edge says itself. */
const said = (over: Record<string, string> = {}): RawHeaders =>
  Object.entries({
    'Sprite-Client-Ip': '192.0.2.1',
    'X-Forwarded-For': '192.0.2.1',
    'X-Forwarded-Host': facts.host,
    'X-Forwarded-Proto': 'http',
    Via: '1.1 sylph',
    ...over,
  }).flat();

describe('the head a guest gets', () => {
  it('has what the client said about the message, in its order and its words', () => {
    const raw = [
      'Host',
      'x',
      'Accept',
      'a',
      'X-One',
      '1',
      'accept',
      'b',
      'Authorization',
      'Basic x',
      'Cookie',
      'a=1',
      'Trailer',
      'X-Sum',
    ];
    assert.deepEqual(requestHeaders(raw, facts), [
      'Host',
      facts.host,
      'Accept',
      'a',
      'X-One',
      '1',
      'accept',
      'b',
      'Authorization',
      'Basic x',
      'Trailer',
      'X-Sum',
      'Cookie',
      'a=1',
      ...said(),
    ]);
  });

  it('has nothing about the connection, nor what the client says in the name of the edge', () => {
    const raw = [
      'Connection',
      'close, X-Hop, TE',
      'X-Hop',
      '1',
      'TE',
      'trailers',
      'Keep-Alive',
      'x',
      'Upgrade',
      'h2c',
      'Transfer-Encoding',
      'chunked',
      'Content-Length',
      '5',
      'Proxy-Authorization',
      'x',
      'Proxy-Connection',
      'x',
      'HTTP2-Settings',
      'x',
      'SPRITE-CLIENT-IP',
      '10.0.0.1',
      'X-Forwarded-Host',
      'evil',
      ':authority',
      'x',
    ];
    assert.deepEqual(requestHeaders(raw, { ...facts, body: '7' }), [
      'Host',
      facts.host,
      ...said(),
      'Content-Length',
      '7',
    ]);
    assert.deepEqual(requestHeaders(raw, { ...facts, body: 'chunked' }), [
      'Host',
      facts.host,
      ...said(),
      'Transfer-Encoding',
      'chunked',
    ]);
  });

  it('appends to what was forwarded, and believes a proxy of this host about the scheme', () => {
    const raw = [
      'X-Forwarded-For',
      '1.1.1.1',
      'X-Forwarded-For',
      '2.2.2.2',
      'X-Forwarded-Proto',
      'https',
      'Via',
      '1.0 other',
    ];
    assert.deepEqual(requestHeaders(raw, facts), [
      'Host',
      facts.host,
      ...said({
        'X-Forwarded-For': '1.1.1.1, 2.2.2.2, 192.0.2.1',
        'X-Forwarded-Proto': 'http',
        Via: '1.0 other, 1.1 sylph',
      }),
    ]);
    assert.deepEqual(requestHeaders(raw, { ...facts, proxied: true }), [
      'Host',
      facts.host,
      ...said({ 'X-Forwarded-For': '1.1.1.1, 2.2.2.2', 'X-Forwarded-Proto': 'https', Via: '1.0 other, 1.1 sylph' }),
    ]);
  });

  it('has no token of the edge and no cookie of its', () => {
    const raw = ['Authorization', 'Bearer t', 'cookie', 'a=1', 'cookie', 'sylph-edge=x', 'cookie', 'b=2'];
    assert.deepEqual(requestHeaders(raw, { ...facts, dropAuthorization: true }), [
      'Host',
      facts.host,
      'Cookie',
      'a=1; b=2',
      ...said(),
    ]);
  });

  it('frames a body once, whatever the client says', () => {
    const name = fc.constantFrom(
      'Content-Length',
      'content-length',
      'Transfer-Encoding',
      'Connection',
      'Host',
      'host',
      'X-A',
      'Via',
    );
    const value = fc.constantFrom('5', 'chunked', 'content-length', 'transfer-encoding, host', 'x');
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), fc.constantFrom(undefined, '9', 'chunked'), (pairs, body) => {
        const out = requestHeaders(pairs.flat(), { ...facts, body });
        const count = (wanted: string): number =>
          out.filter((each, index) => index % 2 === 0 && each.toLowerCase() === wanted).length;
        assert.equal(count('host'), 1);
        assert.equal(count('content-length'), body === '9' ? 1 : 0);
        assert.equal(count('transfer-encoding'), body === 'chunked' ? 1 : 0);
        assert.equal(count('connection'), 0);
        assert.equal(count('sprite-client-ip'), 1);
      }),
    );
  });
});

describe('the head a client gets', () => {
  it('is the guest’s without what is about its connection, and without cookies of the edge', () => {
    const raw = [
      'Set-Cookie',
      'a=1',
      'Connection',
      'close',
      'Set-Cookie',
      'sylph-edge=evil',
      'Transfer-Encoding',
      'chunked',
      'Content-Length',
      '3',
      'Set-Cookie',
      'b=2',
      'Strict-Transport-Security',
      'max-age=0',
    ];
    assert.deepEqual(answerHeaders(raw, { hsts: undefined, httpVersion: '1.1' }), [
      'Set-Cookie',
      'a=1',
      'Content-Length',
      '3',
      'Set-Cookie',
      'b=2',
      'Strict-Transport-Security',
      'max-age=0',
      'Via',
      '1.1 sylph',
    ]);
    assert.deepEqual(answerHeaders(raw, { hsts: 'max-age=1', httpVersion: '1.1' }).slice(-2), [
      'Strict-Transport-Security',
      'max-age=1',
    ]);
  });
});

describe('what follows a body', () => {
  it('is passed on, but for what frames a message or says who somebody is', () => {
    assert.deepEqual(
      trailers(['X-Sum', '1', 'Content-Length', '5', 'Authorization', 'x', 'Set-Cookie', 'y', 'grpc-status', '0']),
      [
        ['X-Sum', '1'],
        ['grpc-status', '0'],
      ],
    );
  });
});
