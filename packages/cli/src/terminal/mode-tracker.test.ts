import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ModeTracker } from './mode-tracker.ts';
import { SequenceReader, type Sequence } from './sequences.ts';

const esc = '\x1b';
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** What programs send: sequences that matter, others, text, and halves. */
const piece = fc.oneof(
  fc.constantFrom(
    'text',
    '\r\n',
    '\x07',
    '\x0e',
    '\x0f',
    '\x18',
    esc,
    `${esc}[`,
    `${esc}]0;title`,
    `${esc}P+q`,
    `${esc}\\`,
    `${esc}7`,
    `${esc}8`,
    `${esc}=`,
    `${esc}>`,
    `${esc}c`,
    `${esc}(0`,
    `${esc}(B`,
    `${esc}[!p`,
  ),
  fc
    .tuple(
      fc.constantFrom(1, 3, 6, 7, 12, 25, 47, 69, 1000, 1003, 1004, 1006, 1048, 1049, 2004, 2026),
      fc.constantFrom('h', 'l'),
    )
    .map(([mode, letter]) => `${esc}[?${mode}${letter}`),
  fc.constantFrom(
    `${esc}[4h`,
    `${esc}[4l`,
    `${esc}[20h`,
    `${esc}[m`,
    `${esc}[0m`,
    `${esc}[1;38;5;3m`,
    `${esc}[0;1m`,
    `${esc}[2;10r`,
    `${esc}[r`,
    `${esc}[3 q`,
    `${esc}[ q`,
  ),
  fc.constantFrom(
    `${esc}[>1u`,
    `${esc}[>31u`,
    `${esc}[<u`,
    `${esc}[<2u`,
    `${esc}[=5;1u`,
    `${esc}[>4;2m`,
    `${esc}[>4m`,
    `${esc}[22;0t`,
    `${esc}[23;0t`,
  ),
  fc.constantFrom(
    `${esc}]8;;http://x${esc}\\`,
    `${esc}]8;;\x07`,
    `${esc}]11;#000\x07`,
    `${esc}]111\x07`,
    `${esc}]10;?\x07`,
    `${esc}]4;1;red\x07`,
    `${esc}]104\x07`,
  ),
);
const program = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));

function after(...outputs: string[]): ModeTracker {
  const tracker = new ModeTracker();
  for (const output of outputs) tracker.feed(bytes(output));
  return tracker;
}

describe('what puts a terminal back', () => {
  test('is complete: after it nothing is left to put back', () => {
    fc.assert(
      fc.property(program, (output) => {
        const restore = after(output).restore();
        assert.equal(after(output, restore).restore(), '');
      }),
      { numRuns: 2000 },
    );
  });

  test('does not depend on how the output arrives', () => {
    fc.assert(
      fc.property(program, fc.integer({ min: 1, max: 7 }), (output, size) => {
        const pieces = output.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? [];
        assert.equal(after(...pieces).restore(), after(output).restore());
      }),
    );
  });

  test('a terminal that was lent to the shell gets its modes back, and can then be put back again', () => {
    fc.assert(
      fc.property(program, (output) => {
        const tracker = after(output);
        const restore = tracker.restore();
        const again = tracker.reapply();
        assert.equal(after(output, restore, again, tracker.restore()).restore(), '');
      }),
    );
  });

  test('leaves alone what the program did not touch, or put back itself', () => {
    assert.equal(after('text\r\n').restore(), '');
    assert.equal(after(`${esc}[?2004h$ ls${esc}[?2004l\r\n`).restore(), '');
    assert.equal(after(`${esc}[?1049h${esc}[?25l${esc}[1mx${esc}[m${esc}[?25h${esc}[?1049l`).restore(), '');
    assert.equal(after(`${esc}[?1049h${esc}[>1u${esc}[<u${esc}[?1049l`).restore(), '');
  });

  test('leaves the alternate screen last, so that what belongs to it is undone there', () => {
    assert.equal(
      after(`${esc}[>3u${esc}[?1049h${esc}[>1u${esc}[?1000h`).restore(),
      `${esc}[<1u${esc}[?1000l${esc}[?1049l${esc}[<1u`,
    );
  });

  test('takes the cursor back to where it was after what moves it', () => {
    assert.equal(after(`${esc}[2;10r`).restore(), `${esc}7${esc}[r${esc}8`);
  });

  test('ends a sequence that was cut off', () => {
    for (const half of [esc, `${esc}[?1`, `${esc}]0;tit`, `${esc}Pq`, `${esc}]0;x${esc}`])
      assert.equal(after(half).restore(), `\x18${esc}\\`);
  });
});

describe('sequences', () => {
  test('any bytes can be read, and any cutting finds the same', () => {
    const read = (pieces: readonly Uint8Array[]): Sequence[] => {
      const found: Sequence[] = [];
      const reader = new SequenceReader();
      for (const part of pieces) reader.read(part, (sequence) => found.push(sequence));
      return found;
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 9 }), (input, size) => {
        const pieces = Array.from({ length: Math.ceil(input.length / size) }, (_, index) =>
          input.subarray(index * size, (index + 1) * size),
        );
        assert.deepEqual(read(pieces), read([input]));
      }),
    );
  });

  test('long strings cost no memory', () => {
    const tracker = new ModeTracker();
    tracker.feed(bytes(`${esc}]52;c;${'A'.repeat(1_000_000)}`));
    assert.equal(tracker.restore(), `\x18${esc}\\`);
  });
});
