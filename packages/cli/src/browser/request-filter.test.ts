import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxRequestBytes, RequestFilter } from './request-filter.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const request = (text: string): string => `\x1b]9999;browser-open;${text}\x1b\\`;

/** What is shown and found of a text that comes in pieces of these lengths, again and again. */
function filtered(text: string, lengths: readonly number[]): { shown: string; found: string[]; end: string } {
  const found: string[] = [];
  const filter = new RequestFilter((each) => found.push(each));
  const bytes = latin1(text);
  let shown = '';
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const length = lengths[piece % lengths.length] ?? 1;
    shown += Buffer.from(filter.read(bytes.subarray(at, at + length))).toString('latin1');
    at += length;
  }
  return { shown, found, end: Buffer.from(filter.end()).toString('latin1') };
}

const anyByte = fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte));
const url = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
/** Output that holds no request: anything without ESC, and everything that begins like a request and is none. */
const other = fc.oneof(
  fc.array(anyByte, { maxLength: 50 }).map((all) => all.join('').replaceAll('\x1b', '')),
  fc.constantFrom(
    '\x1b[31m',
    '\x1b]0;title\x07',
    '\x1b]8;;http://x\x1b\\',
    '\x1b]9999;browser-close;x\x1b\\',
    '\x1b]9999;browser-open;http://x\x07',
    '\x1b]9999;browser-open;http://x\x18',
    '\x1b]9999;browser-open;http://x\n',
    '\x1b]9999;browser-open;http://x\x1b[0m',
    '\x1b]9999;browser-op\x1b\x1b',
    `\x1b]9999;browser-open;${'x'.repeat(maxRequestBytes)}\x1b\\`,
  ),
);

test('finds every request and passes every other byte, whatever the pieces', () => {
  const part = fc.oneof(
    other.map((text) => ({ text, asks: undefined })),
    url.map((asks) => ({ text: request(asks), asks })),
  );
  fc.assert(
    fc.property(fc.array(part), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (parts, lengths) => {
      const { shown, found, end } = filtered(parts.map(({ text }) => text).join(''), lengths);
      assert.deepEqual(
        found,
        parts.flatMap(({ asks }) => asks ?? []),
      );
      assert.equal(shown + end, parts.map(({ text, asks }) => (asks === undefined ? text : '')).join(''));
    }),
  );
});

test('takes out the line that says the same, whatever the pieces, and no other', () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });
  const line = 'Open this address: http://x/a%20b\r\n';
  const cooked = line.replace('\r', '\r\r');
  const asks = request('http://x/a%20b;80');
  fc.assert(
    fc.property(pieces, fc.boolean(), (lengths, more) => {
      const text = `before ${asks}${line}${more ? `${asks}${cooked}${line}after` : ''}`;
      const { shown, found, end } = filtered(text, lengths);
      assert.deepEqual([shown, end, found.length], [more ? `before ${line}after` : 'before ', '', more ? 2 : 1]);
    }),
  );
  fc.assert(
    fc.property(pieces, fc.nat(line.length - 1), (lengths, at) => {
      const other = `${line.slice(0, at)}!`;
      const { shown, end } = filtered(`${asks}${other}`, lengths);
      assert.equal(shown + end, other);
      assert.equal(filtered(`${asks}${line.slice(0, at)}`, lengths).end, line.slice(0, at));
    }),
  );
});

test('holds back no more than a request may have, and nothing at all of plain text', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom('\x1b', ']', '9999;browser-open;', '\\', 'http://x', '\n'), anyByte)),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (texts, lengths) => {
        const whole = filtered(texts.join(''), [1_000_000]);
        assert.deepEqual(filtered(texts.join(''), lengths), whole);
        assert.equal(
          whole.shown.length + whole.end.length + whole.found.map(request).join('').length,
          latin1(texts.join('')).length,
        );
      },
    ),
  );
  const filter = new RequestFilter(() => assert.fail('nothing asks'));
  const plain = latin1('plain text\r\n');
  assert.equal(filter.read(plain), plain);
  assert.equal(filter.read(latin1('\x1b]9999;browser-open;')).length, 0);
  for (let sent = 20; sent < maxRequestBytes - 1; sent++) assert.equal(filter.read(latin1('x')).length, 0);
  assert.equal(filter.read(latin1('x')).length, maxRequestBytes);
  assert.equal(filter.read(plain), plain);
});
