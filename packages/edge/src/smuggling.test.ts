import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EdgeFixture } from './testing/fixture.ts';
import { raw, rawServer } from './testing/raw.ts';

/** Requests as a sprite got them, one text each. */
async function withWitness(work: (edge: EdgeFixture, host: string, seen: string[]) => Promise<void>): Promise<void> {
  await using edge = await EdgeFixture.open();
  const seen: string[] = [];
  await edge.sprite('one', (request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (text: string) => (body += text));
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${body}`);
      response.end('ok');
    });
    request.on('error', () => {});
  });
  await work(edge, edge.host('one'), seen);
}

describe('length tricks', () => {
  it('are refused before a sprite hears of them', async () => {
    await withWitness(async (edge, host, seen) => {
      const hidden = 'GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n';
      const heads: [what: string, lines: string, body: string][] = [
        ['both lengths', 'Content-Length: 4\r\nTransfer-Encoding: chunked', `0\r\n\r\n${hidden}`],
        ['both lengths, the other order', 'Transfer-Encoding: chunked\r\nContent-Length: 4', `0\r\n\r\n${hidden}`],
        ['two lengths', 'Content-Length: 4\r\nContent-Length: 5', `abcde${hidden}`],
        ['two equal lengths', 'Content-Length: 4\r\nContent-Length: 4', `abcd${hidden}`],
        ['a list of lengths', 'Content-Length: 4, 4', `abcd${hidden}`],
        ['a signed length', 'Content-Length: +4', `abcd${hidden}`],
        ['a negative length', 'Content-Length: -1', hidden],
        ['a hexadecimal length', 'Content-Length: 0x4', `abcd${hidden}`],
        ['a length that is none', 'Content-Length: abc', hidden],
        ['an endless length', `Content-Length: ${'9'.repeat(40)}`, hidden],
        ['an unknown encoding', 'Transfer-Encoding: xchunked', `0\r\n\r\n${hidden}`],
        ['an encoding after another', 'Transfer-Encoding: gzip, chunked', `0\r\n\r\n${hidden}`],
        ['an encoding before another', 'Transfer-Encoding: chunked, identity', `0\r\n\r\n${hidden}`],
        ['two encodings', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', `0\r\n\r\n${hidden}`],
        ['two equal encodings', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', `0\r\n\r\n${hidden}`],
        ['a space before the colon', 'Transfer-Encoding : chunked', `0\r\n\r\n${hidden}`],
        ['a folded line', 'Transfer-Encoding:\r\n chunked', `0\r\n\r\n${hidden}`],
        ['a vertical tab', 'Transfer-Encoding: \x0bchunked', `0\r\n\r\n${hidden}`],
        ['a bare line feed', 'X: y\nTransfer-Encoding: chunked', `0\r\n\r\n${hidden}`],
        ['a bare carriage return', 'X: y\rTransfer-Encoding: chunked', `0\r\n\r\n${hidden}`],
        ['a null byte', 'X: y\0z', ''],
        ['a chunk of a wrong size', 'Transfer-Encoding: chunked', `5;\r\nabc\r\n0\r\n\r\n`],
        ['a chunk extension with a line feed', 'Transfer-Encoding: chunked', `0;\nx\r\n\r\n${hidden}`],
        ['a signed chunk', 'Transfer-Encoding: chunked', `+1\r\na\r\n0\r\n\r\n`],
      ];
      for (const [what, lines, body] of heads) {
        const answer = await raw(edge.port, `POST / HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n\r\n${body}`, {
          timeoutMs: 200,
        });
        assert.doesNotMatch(answer, /HTTP\/1\.1 200/, what);
        assert.match(answer, /^HTTP\/1\.1 (400|431) |^$/, what);
      }
      assert.deepEqual(seen, []);
    });
  });

  it('find no request inside another, whatever bytes come', async () => {
    await withWitness(async (edge, host, seen) => {
      const line = fc.constantFrom(
        'Content-Length: 4',
        'Content-Length: 36',
        'Transfer-Encoding: chunked',
        'transfer-encoding: CHUNKED',
        'Transfer-Encoding: \tchunked',
        'Connection: keep-alive, content-length',
        'Connection: close',
        'Expect: 100-continue',
        'X: y',
      );
      const body = fc.constantFrom(
        '',
        'abcd',
        '0\r\n\r\n',
        '4\r\nabcd\r\n0\r\n\r\n',
        'GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n',
      );
      await fc.assert(
        fc.asyncProperty(fc.array(line, { maxLength: 3 }), body, body, async (lines, first, second) => {
          seen.length = 0;
          const text = `POST /outer HTTP/1.1\r\nHost: ${host}\r\n${lines.map((each) => `${each}\r\n`).join('')}\r\n${first}${second}`;
          await raw(edge.port, text, { timeoutMs: 60, end: true });
          // What follows a request is one of its own: it names no sprite, so none may hear of it.
          for (const each of seen) assert.match(each, /^POST \/outer /);
          assert.ok(seen.length <= 1);
        }),
        { numRuns: 60 },
      );
    });
  });
});

describe('the host of a request', () => {
  it('is named once, and alike everywhere', async () => {
    await withWitness(async (edge, host, seen) => {
      const other = edge.host('other');
      const bad = [
        `GET / HTTP/1.1\r\n\r\n`,
        `GET / HTTP/1.1\r\nHost:\r\n\r\n`,
        `GET / HTTP/1.1\r\nHost: ${host}\r\nHost: ${host}\r\n\r\n`,
        `GET / HTTP/1.1\r\nHost: ${other}\r\nhost: ${host}\r\n\r\n`,
        `GET / HTTP/1.1\r\nHost: ${host}, ${other}\r\n\r\n`,
        `GET / HTTP/1.1\r\nHost: ${host}@${other}\r\n\r\n`,
        `GET http://${other}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        `GET http://user@${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        `GET ftp://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        `GET ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        `GET / HTTP/1.0\r\n\r\n`,
        `GET / HTTP/2.0\r\nHost: ${host}\r\n\r\n`,
        `GET /\r\n\r\n`,
        `\x16\x03\x01\x02\x00\x01\x00`,
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      ];
      for (const text of bad) assert.match(await raw(edge.port, text), /^HTTP\/1\.1 (400|505) |^$/, text);
      assert.match(await raw(edge.port, `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`), /^HTTP\/1\.1 405 /);
      assert.deepEqual(seen, []);
      for (const good of [host.toUpperCase(), host.replace(':', '.:'), host.split(':')[0]]) {
        const answer = await raw(edge.port, `GET / HTTP/1.1\r\nHost: ${good}\r\nConnection: close\r\n\r\n`);
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/, String(good));
      }
      for (const foreign of [
        'example.com',
        '127.0.0.1',
        '[::1]',
        'localhost',
        `${host.split('.')[0]}.example.com`,
        'sprites.localhost',
      ])
        assert.match(
          await raw(edge.port, `GET / HTTP/1.1\r\nHost: ${foreign}\r\nConnection: close\r\n\r\n`),
          /^HTTP\/1\.1 404 /,
          foreign,
        );
    });
  });
});

describe('heads', () => {
  it('that are too large, or written by nobody’s rules, are refused', async () => {
    await withWitness(async (edge, host, seen) => {
      const head = `GET / HTTP/1.1\r\nHost: ${host}\r\n`;
      assert.match(await raw(edge.port, `${head}X: ${'x'.repeat(40_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
      assert.match(await raw(edge.port, `${head}${'X: y\r\n'.repeat(10_000)}\r\n`), /^HTTP\/1\.1 431 /);
      assert.match(
        await raw(edge.port, `GET /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
        /^HTTP\/1\.1 (431|414) /,
      );
      for (const line of ['no colon', ': no name', 'Na me: x', 'X\x00: y', 'X: y\x07'])
        assert.match(await raw(edge.port, `${head}${line}\r\n\r\n`), /^HTTP\/1\.1 400 /, line);
      assert.deepEqual(seen, []);
    });
  });
});

describe('answers', () => {
  it('that are split do not reach the next request of another', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', () => {});
    let connections = 0;
    await using server = await rawServer((socket) => {
      connections += 1;
      const mine = connections;
      // Two answers to one request: the second would be that of whoever asks next.
      socket.on('data', () =>
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n0${mine}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
        ),
      );
    });
    sprite.ports.set(8080, server.port);
    for (let count = 0; count < 5; count++) assert.match((await edge.fetch(edge.host('one'))).body, /^0\d$/);
  });
});
