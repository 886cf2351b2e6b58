import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ClientError } from '../errors.ts';
import { ChunkParser, type HttpPart } from './chunk-parser.ts';

const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

/** All parts of an answer that arrives in these pieces. */
function parse(pieces: readonly Uint8Array[]): HttpPart[] {
  const parser = new ChunkParser();
  return pieces.flatMap((piece) => [...parser.push(piece)]);
}

/** Cuts at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

describe('chunks', () => {
  test('come out as they were sent, however the bytes arrive', () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 20 });
    fc.assert(
      fc.property(chunks, fc.array(fc.nat(), { maxLength: 40 }), (sent, places) => {
        const body = sent.map((chunk) =>
          Buffer.concat([Buffer.from(`${chunk.length.toString(16)};x=y\r\n`), chunk, Buffer.from('\r\n')]),
        );
        const parts = parse(
          cut(Buffer.concat([Buffer.from(head), ...body, Buffer.from('0\r\nTrailer: x\r\n\r\n')]), places),
        );
        assert.equal(parts[0]?.type, 'head');
        assert.equal(parts.at(-1)?.type, 'end');
        const found = parts.filter((part) => part.type === 'chunk').map((part) => Buffer.from(part.bytes));
        assert.deepEqual(
          found,
          sent.map((chunk) => Buffer.from(chunk)),
        );
      }),
    );
  });

  test('nonsense fails with a protocol error or asks for more, and never hangs', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), fc.boolean(), (pieces, withHead) => {
        try {
          parse(withHead ? [Buffer.from(head), ...pieces] : pieces);
        } catch (thrown) {
          assert.ok(thrown instanceof ClientError && thrown.code === 'protocol', String(thrown));
        }
      }),
    );
    assert.throws(() => parse([Buffer.from(`${head}ffffff\r\n`)]), /malformed chunk/);
    assert.throws(() => parse([Buffer.alloc(100_000, 0x61)]), /head without end/);
  });

  test('an answer with a length, one without, and an interim one', () => {
    const text = (answer: string): string =>
      parse([Buffer.from(answer)])
        .filter((part) => part.type === 'chunk')
        .map((part) => Buffer.from(part.bytes).toString())
        .join('');
    assert.equal(text('HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nhi and more'), 'hi');
    assert.equal(text('HTTP/1.1 500 No\r\n\r\nhi'), 'hi');
    assert.equal(text('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx'), 'x');
  });
});
