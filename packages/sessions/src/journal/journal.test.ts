import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Journal, type JournalLimits } from './journal.ts';
import type { JournalEvent } from './reader.ts';
import type { OutputStream } from './record.ts';

const small: JournalLimits = { segmentBytes: 600, segments: 3, batchBytes: 200, unwrittenBytes: 300, recentBytes: 150 };
const roomy: JournalLimits = { ...small, segments: 1000 };
const never = new AbortController().signal;

async function tempDir(): Promise<{ path: string } & AsyncDisposable> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'sylph-journal-'));
  return { path: dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

/** What a journal should hold: a byte and its stream per offset. */
class Model {
  bytes: number[] = [];
  streams: OutputStream[] = [];
  #next = 0;

  grow(stream: OutputStream, count: number): Buffer {
    const fresh = Buffer.from(Array.from({ length: count }, () => (this.#next = (this.#next * 5 + 3) & 0xff)));
    this.bytes.push(...fresh);
    this.streams.push(...Array.from(fresh, () => stream));
    return fresh;
  }

  cut(end: number): void {
    this.bytes.length = end;
    this.streams.length = end;
  }

  /** Checks events read from `offset` and returns where they end; gaps must be announced. */
  check(events: JournalEvent[], offset: number): { end: number; dropped: number } {
    let at = offset;
    let dropped = 0;
    for (const event of events) {
      if (event.type === 'dropped') {
        assert.equal(event.from, at);
        assert.ok(event.to > event.from);
        dropped += event.to - event.from;
        at = event.to;
        continue;
      }
      assert.equal(event.offset, at);
      assert.deepEqual([...event.bytes], this.bytes.slice(at, at + event.bytes.length));
      assert.ok(this.streams.slice(at, at + event.bytes.length).every((stream) => stream === event.stream));
      at += event.bytes.length;
    }
    return { end: at, dropped };
  }
}

async function all(journal: Journal, offset: number): Promise<JournalEvent[]> {
  const events: JournalEvent[] = [];
  for await (const event of journal.read({ offset, signal: never })) events.push(event);
  return events;
}

const output = fc.record({
  stream: fc.constantFrom<OutputStream>('stdout', 'stderr'),
  count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 50, max: 250 })),
  wait: fc.boolean(),
});

async function append(
  journal: Journal,
  model: Model,
  parts: { stream: OutputStream; count: number; wait: boolean }[],
): Promise<void> {
  for (const part of parts) {
    journal.append(part.stream, model.grow(part.stream, part.count), 1_700_000_000_000);
    if (part.wait) await journal.room(never);
    if (part.count % 7 === 0) await turn();
  }
}

test('what is appended is read from any offset, also after any number of crashes that cut its tail anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(output, { maxLength: 25 }), fc.nat(), fc.nat()), { minLength: 1, maxLength: 4 }),
      async (lives) => {
        await using dir = await tempDir();
        const model = new Model();
        for (const [parts, cutAt, from] of lives) {
          const journal = await Journal.recover(dir.path, roomy);
          assert.ok(journal.end <= model.bytes.length);
          model.cut(journal.end);
          await append(journal, model, parts);
          await journal.flush();
          assert.equal(journal.written, model.bytes.length);
          journal.finish();
          const offset = from % (model.bytes.length + 1);
          assert.deepEqual(model.check(await all(journal, offset), offset), { end: model.bytes.length, dropped: 0 });
          await journal.close();
          const last = (await readdir(dir.path)).toSorted().at(-1);
          if (last === undefined) continue;
          const file = path.join(dir.path, last);
          const { size } = await stat(file);
          await truncate(file, size - (cutAt % (size + 1)));
        }
      },
    ),
    { numRuns: 120 },
  );
});

test('a torn tail costs only the record that was torn', async () => {
  await using dir = await tempDir();
  const model = new Model();
  const journal = Journal.create(dir.path, { limits: roomy });
  for (let i = 0; i < 4; i += 1) {
    journal.append('stdout', model.grow('stdout', 50), 0);
    await journal.flush();
  }
  await journal.close();
  const [file] = await readdir(dir.path);
  await truncate(path.join(dir.path, file as string), 4 * 70 - 1);
  const recovered = await Journal.recover(dir.path, roomy);
  assert.equal(recovered.end, 150);
  await recovered.close();
});

test('readers at any pace see every byte; the writer waits for them; the files stay bounded', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(output, { minLength: 20, maxLength: 80 }),
      fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 }),
      async (parts, paces) => {
        await using dir = await tempDir();
        const model = new Model();
        const journal = Journal.create(dir.path, { limits: small });
        const readers = paces.map(async (pace) => {
          const events: JournalEvent[] = [];
          for await (const event of journal.read({ offset: 0, signal: never })) {
            events.push(event);
            for (let i = 0; i < pace; i += 1) await turn();
          }
          return events;
        });
        for (const part of parts) {
          journal.append(part.stream, model.grow(part.stream, part.count), 0);
          if (journal.full) await journal.room(never);
          const files = await readdir(dir.path);
          assert.ok(files.length <= small.segments + 2, `${files.length} segments`);
        }
        journal.finish();
        for (const events of await Promise.all(readers))
          assert.deepEqual(model.check(events, 0), { end: model.bytes.length, dropped: 0 });
        await journal.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('a reader that comes and goes at random offsets is told of what is gone, and of nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(output, { minLength: 30, maxLength: 100 }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 10 }),
      async (parts, offsets) => {
        await using dir = await tempDir();
        const model = new Model();
        const journal = Journal.create(dir.path, { limits: small });
        const every = Math.ceil(parts.length / offsets.length);
        for (const [index, part] of parts.entries()) {
          await append(journal, model, [{ ...part, wait: true }]);
          if (index % every !== 0) continue;
          const offset = (offsets[index / every] as number) % model.bytes.length;
          const known = journal.start;
          const controller = new AbortController();
          const events: JournalEvent[] = [];
          for await (const event of journal.read({ offset, signal: controller.signal })) {
            events.push(event);
            if ((event.type === 'dropped' ? event.to : event.offset + event.bytes.length) >= journal.end) break;
          }
          assert.deepEqual(model.check(events, offset), { end: journal.end, dropped: Math.max(0, known - offset) });
        }
        assert.equal(journal.readers, 0);
        await journal.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('damage anywhere in the files never throws, hangs or invents a byte', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(output, { minLength: 10, maxLength: 30 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 3 }),
      async (parts, damages) => {
        await using dir = await tempDir();
        const model = new Model();
        const journal = Journal.create(dir.path, { limits: roomy });
        await append(journal, model, parts);
        await journal.flush();
        await journal.close();
        const files = (await readdir(dir.path)).toSorted();
        for (const [which, where, flip] of damages) {
          await using file = await open(path.join(dir.path, files[which % files.length] as string), 'r+');
          const { size } = await file.stat();
          // Headers only: payloads carry no check.
          const header = Buffer.alloc(20);
          await file.read(header, 0, 20, 0);
          const at = where % Math.min(20, size);
          header[at] = (header[at] as number) ^ flip;
          await file.write(header, 0, 20, 0);
        }
        const recovered = await Journal.recover(dir.path, roomy);
        recovered.finish();
        model.check(await all(recovered, 0), 0);
        await recovered.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('a reader follows live output and ends when it is told to', async () => {
  await using dir = await tempDir();
  const journal = Journal.create(dir.path);
  const controller = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of journal.read({ offset: 0, signal: controller.signal }))
      if (event.type === 'output') seen.push(event.bytes.toString());
  })();
  journal.append('stdout', Buffer.from('one'), 0);
  await sleep(20);
  journal.append('stdout', Buffer.from('two'), 0);
  await sleep(20);
  assert.deepEqual(seen, ['one', 'two']);
  controller.abort();
  await reading;
  assert.equal(journal.readers, 0);
  await journal.close();
});

test('closing a journal ends its readers, wherever they are', async () => {
  await using dir = await tempDir();
  const journal = Journal.create(dir.path);
  const waiting = all(journal, 0);
  await turn();
  await journal.close();
  assert.deepEqual(await waiting, []);
});

test('a gap that is skipped is told, and survives a restart', async () => {
  await using dir = await tempDir();
  const journal = Journal.create(dir.path);
  journal.append('stdout', Buffer.from('abc'), 0);
  journal.skipTo(10);
  journal.append('stderr', Buffer.from('def'), 0);
  await journal.flush();
  journal.finish();
  const expected = ['abc', '3-10', 'def'];
  const shown = (events: JournalEvent[]) =>
    events.map((event) => (event.type === 'output' ? event.bytes.toString() : `${event.from}-${event.to}`));
  assert.deepEqual(shown(await all(journal, 0)), expected);
  await journal.close();
  const recovered = await Journal.recover(dir.path);
  recovered.finish();
  assert.equal(recovered.end, 13);
  assert.deepEqual(shown(await all(recovered, 0)), expected);
  await recovered.close();
});

test('output that cannot be written stays in memory, holds the pump back and is written when it can', async () => {
  await using dir = await tempDir();
  const home = path.join(dir.path, 'journal');
  const journal = Journal.create(home, { limits: small });
  const failed = Promise.withResolvers<Error>();
  journal.onFailed = failed.resolve;
  const model = new Model();
  await append(journal, model, [{ stream: 'stdout', count: 400, wait: false }]);
  assert.match((await failed.promise).message, /ENOENT/);
  assert.equal(journal.full, true);
  await assert.rejects(journal.flush(), /ENOENT/);
  const elsewhere = path.join(dir.path, 'elsewhere');
  await rename(await mkdtemp(path.join(dir.path, 'x')), elsewhere);
  journal.movedTo(elsewhere);
  await journal.room(never);
  journal.finish();
  assert.deepEqual(model.check(await all(journal, 0), 0), { end: 400, dropped: 0 });
  await journal.close();
});

test('thousands of tiny pieces take little memory and few records', async () => {
  await using dir = await tempDir();
  const journal = Journal.create(dir.path);
  for (let i = 0; i < 50_000; i += 1) journal.append('stdout', Buffer.from('x'), 0);
  await journal.flush();
  journal.finish();
  const events = await all(journal, 0);
  assert.equal(
    events.reduce((sum, event) => sum + (event.type === 'output' ? event.bytes.length : 0), 0),
    50_000,
  );
  assert.ok(events.length < 100, `${events.length} events`);
  await journal.close();
});

test('output that comes before there is a directory waits for it', async () => {
  await using dir = await tempDir();
  const home = path.join(dir.path, 'late');
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const journal = Journal.create(home, { ready });
  journal.onFailed = assert.fail;
  journal.append('stdout', Buffer.from('early'), 0);
  await sleep(20);
  await mkdir(home);
  resolve();
  await journal.flush();
  assert.equal(journal.written, 5);
  await journal.close();
});
